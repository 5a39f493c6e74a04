// Owns: runs in which statements, links and turns have sizes and speeds, and whether the checks that come with them find anything.
import Simulation
import Testing

@Suite struct HeavyWorldTests {
    @Test(
        "Large leases, values and statements are fine where the log takes nothing slow for dead",
        arguments: [HeavyTraits.leases, .links, .statements])
    func patient(traits: HeavyTraits) {
        for seed in 1...3 as ClosedRange<UInt64> {
            #expect(Simulation.run(seed: seed, world: .heavy(traits, rules: .patient)).failure == nil, "seed \(seed)")
        }
    }

    @Test(
        "A log that takes what is slow for dead, and refuses what is large, is found out",
        arguments: [
            // The server ends a session whose append is still arriving: the lease is never gone.
            (HeavyTraits.leases, 39),
            // A large value's connection is given up as it says nothing, and each time the epoch is raised.
            (.links, 39),
            // An append is refused, again and again.
            (.statements, 27), (.statements, 29),
        ] as [(HeavyTraits, UInt64)])
    func impatient(traits: HeavyTraits, seed: UInt64) {
        #expect(Simulation.run(seed: seed, world: .heavy(traits, rules: .impatient)).failure != nil)
    }

    @Test("A heavy seed plays the same way again", arguments: HeavyTraits.named.map(\.traits))
    func playsAgain(traits: HeavyTraits) {
        #expect(Simulation.run(seed: 5, world: .heavy(traits)) == Simulation.run(seed: 5, world: .heavy(traits)))
    }
}
