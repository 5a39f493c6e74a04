// Owns: the append that moves the log past what was served and is lost.
// Must never: serve before that is done.
//
// Others may do the same at once: one of them wins, and the others load what it did.
package import EtcdAPI
package import Keyspace

/// The append that moves the log past what is lost, while it is under way.
struct RevisionRaise {
    let number: UInt64
    let from: Revision
    /// What the log is compared with again where the append fails.
    let history: ServedHistory
}

extension AppendBatch {
    /// Moves the log that ends at `head` to `revision`, which must be past it, and compacts everything before.
    package static func raising(
        _ head: Head, key: DigestKey?, to revision: Revision, number: UInt64, origin: Int64
    ) -> AppendBatch {
        var key = key
        var row = LogRow(
            position: Position(revision, 0), kind: .compact, createRevision: head.position.revision, version: revision.rawValue,
            origin: origin)
        var raised = head
        raised.position = row.position
        row.hash = raised.digest.append(row, &key)
        raised.compactRevision = revision
        return AppendBatch(
            number: number, expectedDigest: head.digest, expectedEpoch: head.epoch, newHead: raised, rows: [row])
    }
}
