// Owns: histories that part: what may have been served of a history that the log has lost, and moving the log past it.
//
// A failover to a standby that lacked commits, or a restored backup, takes the log back. Its revisions are then given to other
// writes, and a client that goes on from a revision that it has seen would miss some of them without a word. So whoever may have
// served what is lost moves the log's revision past all that anybody can have seen, and compacts what is below: clients are told
// that their place is compacted, and list again.
//
// Must never: serve before that is done; take a log that others have compacted past a mark for a changed one: whoever stands
// there is told so anyway, whatever the history.
internal import EtcdAPI
package import Keyspace

/// A point of a history up to which something may have been served.
package struct ServedMark: Hashable, Sendable {
    package var clusterID: Int64
    package var position: Position
    package var digest: Digest

    package init(clusterID: Int64, position: Position, digest: Digest) {
        self.clusterID = clusterID
        self.position = position
        self.digest = digest
    }
}

extension ServedMark {
    /// Whether the log that ends at `head` has to be read to know whether it has what was served: not that of another store, nor one
    /// where all who have seen it are told that their place is compacted.
    /// They go on with the revision after it, and that may still be watched where it is the compacted one itself.
    package func isOpen(at head: Head) -> Bool {
        clusterID == head.clusterID && Sweep.firstKept(compactedTo: head.compactRevision) <= position.revision
    }
}

/// A mark, compared with the log while that is read.
package struct ComparedMark: Sendable {
    package let served: ServedMark
    /// What the digest would be had the log's rows after the mark come after it.
    private var digest: Digest
    /// The store's key there.
    private var key: DigestKey?

    package init(_ served: ServedMark) {
        self.served = served
        digest = served.digest
    }

    /// Takes the log's next row. It needs its value, where it lies past the mark. Of the rows before only the one with the store's key
    /// matters.
    package mutating func pass(_ row: LogRow) {
        if row.position > served.position {
            _ = digest.append(row, &key)
        } else if row.kind == .digestKey {
            key = DigestKey(row)
        }
    }

    /// Whether the log lacks something of what was served, and nobody who has seen it is told.
    package func isLost(from head: Head) -> Bool {
        // All rows after an open mark are there, so the digest tells.
        served.isOpen(at: head) && (head.position < served.position || digest != head.digest)
    }
}

/// The append that moves the log past what is lost.
struct RevisionRaise {
    var number: UInt64
    var from: Revision
}

extension AppendBatch {
    /// Moves the log that ends at `head` to `revision`, which must be past it, and compacts everything before.
    package static func raising(
        _ head: Head, key: DigestKey?, to revision: Revision, number: UInt64, origin: Int64
    ) -> AppendBatch {
        var key = key
        var row = LogRow(
            position: Position(revision, 0), kind: .compact, createRevision: head.position.revision, version: revision, origin: origin)
        var raised = head
        raised.position = row.position
        row.hash = raised.digest.append(row, &key)
        raised.compactRevision = revision
        return AppendBatch(
            number: number, expectedDigest: head.digest, expectedEpoch: head.epoch, newHead: raised, rows: [row])
    }
}

extension Replica {
    /// What has been served up to now; nil while nothing is.
    package var served: ServedMark? {
        isLoaded ? ServedMark(clusterID: clusterID, position: store.committed, digest: store.committedDigest) : nil
    }

    /// What the log is compared with while it is loaded: rows past any of these have to come with their values.
    package var comparedMarks: [ServedMark] { marks.map(\.served) }

    /// Whether the memory is that of the log, as far as is known.
    var isLoaded: Bool { phase == .serving || phase == .recovering }

    mutating func comparePast(_ rows: [LogRow]) {
        for index in marks.indices {
            for row in rows { marks[index].pass(row) }
        }
    }

    mutating func comparePastAnew() { marks = marks.map { ComparedMark($0.served) } }

    /// The highest revision that was served and is lost.
    func lostRevision(from head: Head) -> Revision? {
        marks.filter { $0.isLost(from: head) }.map(\.served.position.revision).max()
    }

    /// Moves the log's end past `lost`. Others may do the same at once: one of them wins, and the others load what it did.
    mutating func raiseRevision(past lost: Revision) {
        phase = .raising
        let number = writes.takeNumber()
        raise = RevisionRaise(number: number, from: store.revision)
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
        guard let done = raise, done.number == number else { return false }
        raise = nil
        store.commit()
        actions.append(.note(.revisionRaised(from: done.from, to: store.revision)))
        startServing()
        return true
    }

    /// The same. Whether it was done in the end shows once the log is loaded again.
    mutating func raiseFailed(_ number: UInt64) -> Bool {
        guard raise?.number == number else { return false }
        reset()
        return true
    }
}
