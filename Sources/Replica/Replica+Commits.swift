// Owns: rows becoming visible: the one place that tells every machine that wants to hear of them.
internal import Keyspace

extension Replica {
    /// Makes rows visible that were applied, up to where they end, and tells of them.
    /// - Parameter isOwn: whether they are those of an append of ours that has just been answered. Otherwise they were read from the log.
    mutating func commit(_ rows: [LogRow], through end: Store.Savepoint, isOwn: Bool) {
        store.commit(through: end)
        if isOwn {
            counters.writes.rowsAppended += UInt64(rows.count)
            if !trail.isEmpty { trail.note(store.committed, store.committedDigest) }
        } else {
            counters.rowsFolded += UInt64(rows.count)
        }
        count(rows)
        publish(rows)
        noteLeases(rows)
        // The append has told what a poll would.
        if isOwn { follower.appended(now) }
    }
}
