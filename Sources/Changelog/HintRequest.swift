// Owns: whether other processes are to be told of own appends.
internal import Synchronization

/// Whether own appends wait for being hinted at: set by the appender, cleared by the reader. To a process that is alone
/// hints are of no use.
final class HintRequest: Sendable {
    private let wanted = Atomic(false)
    private let hasPeers: Atomic<Bool>

    init(hasPeers: Bool) { self.hasPeers = Atomic(hasPeers) }

    /// True for the first that asks since the last `clear`: it has to wake the reader. False where there is nobody to hint to.
    func ask() -> Bool {
        hasPeers.load(ordering: .relaxed) && !wanted.exchange(true, ordering: .acquiringAndReleasing)
    }

    /// Whether other processes are alive.
    func notePeers(_ exist: Bool) { hasPeers.store(exist, ordering: .relaxed) }

    func clear() { wanted.store(false, ordering: .releasing) }
}
