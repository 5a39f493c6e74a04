// Owns: what this memory has served, and moving the log past what was served and is lost.
// Must never: serve before that is done.
internal import EtcdAPI
internal import Keyspace

extension Replica {
    /// What has been served up to now; nil while nothing is.
    package var served: ServedMark? {
        isLoaded ? ServedMark(clusterID: clusterID, position: store.committed, digest: store.committedDigest) : nil
    }

    /// What the log is compared with while it is loaded: rows past any of these have to come with their values.
    package var comparedMarks: [ServedMark] { phase.comparedMarks }

    /// Whether the memory is that of the log, as far as is known.
    var isLoaded: Bool { phase.isLoaded }

    /// Moves the log's end past `lost`. Others may do the same at once: one of them wins, and the others load what it did.
    mutating func raiseRevision(past lost: Revision) {
        let number = writes.takeNumber()
        phase.raiseSent(number, from: store.revision)
        let head = Head(
            clusterID: clusterID, position: store.committed, digest: store.committedDigest, epoch: epoch,
            compactRevision: store.compactRevision)
        let append = AppendBatch.raising(
            head, key: store.digestKey, to: max(store.revision, lost) + configuration.revisionRaise, number: number,
            origin: configuration.origin)
        for row in append.rows { store.apply(row) }
        actions.append(.log(.append(append)))
    }

    /// True where `number` is that of the append that raises the revision.
    mutating func raiseAppended(_ number: UInt64) -> Bool {
        guard phase.isRaising(by: number) else { return false }
        store.commit()
        actions.append(.note(.revisionRaised(from: phase.raised(), to: store.revision)))
        startServing()
        return true
    }

    /// The same. Whether it was done in the end shows once the log is loaded again.
    mutating func raiseFailed(_ number: UInt64) -> Bool {
        guard phase.isRaising(by: number) else { return false }
        loadAnew(after: .failedRaise)
        return true
    }
}
