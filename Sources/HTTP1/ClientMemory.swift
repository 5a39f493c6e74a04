// Owns: the bound on what all connections of a server together keep in memory for their clients: answers that wait to be read, answers
// that are being made, input that waits, open streams.
// Must never: be asked or told for each call. A loop tells of what its connections keep once it has changed by a grain.
// Invariant: the sum is off by less than a grain a loop.
internal import Synchronization

package final class ClientMemory: Sendable {
    /// In bytes.
    package let limit: Int
    /// What a loop may leave untold.
    package let grain: Int
    private let total = Atomic(0)
    private let connectionCount = Atomic(0)

    /// However many connections there are, each may keep as much; in bytes.
    private static let leastShare = 256 << 10
    private static let grainMax = 256 << 10

    package init(limit: Int) {
        self.limit = max(limit, 1)
        grain = min(limit / 64, ClientMemory.grainMax)
    }

    /// What all connections keep, in bytes.
    package var bytes: Int { total.load(ordering: .relaxed) }

    /// What a loop's connections keep has changed. The new sum.
    package func add(_ change: Int) -> Int { total.wrappingAdd(change, ordering: .relaxed).newValue }

    package func connectionOpened() { connectionCount.wrappingAdd(1, ordering: .relaxed) }
    package func connectionClosed() { connectionCount.wrappingSubtract(1, ordering: .relaxed) }

    /// What one connection may keep while all together keep too much: with less it is served as ever.
    package var share: Int {
        let share = limit / max(connectionCount.load(ordering: .relaxed), 1)
        return max(min(share, limit / 8), min(ClientMemory.leastShare, limit / 8))
    }
}
