// Owns: a process that stood still for so long that others have compacted past it: rows that it never folded may be deleted.
// Must never: fold a tail with a gap in it, or take one for a history that has changed.
//
// Compaction leaves all rows of the compact revision and of the one before. So a tail can have a gap only where that one is above
// ours, and where the digests agree it has none after all. Where it has, what our memory lacks can't be folded into it any more: it is
// loaded anew. Nobody can tell whether the history is the same one, and nobody has to: watches stay, and those that would miss events,
// which are all that had caught up, are told that their place is compacted, as etcd tells the watchers of a member that is sent a
// snapshot.
internal import EtcdAPI
internal import Keyspace

extension Replica {
    /// Whether rows between ours and the tail's end may have been deleted before we saw them.
    func mayHaveGap(_ tail: Tail) -> Bool {
        guard Sweep.firstKept(compactedTo: tail.head.compactRevision) > store.revision else { return false }
        guard tail.reachesHead else { return true }
        let folded = UnverifiedRows.Point(position: store.committed, digest: store.committedDigest)
        return !unverified.lead(with: tail.rows, after: folded, key: store.digestKey, to: tail.head)
    }

    mutating func overtaken() {
        actions.append(.note(.overtaken(at: store.committed)))
        loadAnew()
    }

    /// Loads the log anew, whose history is the same.
    mutating func loadAnew() {
        // Whether a lost batch is in the log can't be told where its rows may be gone.
        for batch in batches {
            for write in batch.unanswered { respond(write.id, .failure(.leaderChanged)) }
        }
        failLacking()
        failScans()
        failHashes()
        holdWatchers()
        reset()
    }
}
