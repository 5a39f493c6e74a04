// Owns: playing a seed, from outside.

/// What came of a seed.
package struct SimulationResult: Sendable, Hashable {
    package var seed: UInt64
    /// What went wrong; nil where nothing did.
    package var failure: String?
    /// The same for two runs that went the same way.
    package var fingerprint: UInt64
    package var operations: Int
    package var rows: Int
    /// Appends that were sent while another was under way on the same connection.
    package var pipelinedAppends: Int
}

package enum Simulation {
    /// Plays the run of `seed` in a world of that kind. With `tells`, what happens is printed. `hasLateKey`: the log is given its digest key
    /// while it is at work, instead of before, or never.
    package static func run(
        seed: UInt64, world kind: WorldKind = .mixed, tells: Bool = false, hasLateKey: Bool = false
    ) -> SimulationResult {
        let world = World(seed: seed, kind, tells: tells, hasLateKey: hasLateKey)
        let failure = world.play()
        defer { world.end() }
        return SimulationResult(
            seed: seed, failure: failure, fingerprint: world.fingerprint.rawValue, operations: world.operations.count,
            rows: world.log.era.archive.count, pipelinedAppends: world.pipelinedAppends)
    }
}
