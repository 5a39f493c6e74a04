// Owns: the compactions that have been folded and not yet been asked for, one by one: a turn may commit several.
// Must never: hand out one that may still be undone.
// Invariant: entries are in the order of their rows.
package import EtcdAPI

/// One compaction, and the one before it.
package struct Compaction: Hashable, Sendable {
    package var revision: Revision
    /// -1 where it is the first.
    package var previous: Revision

    package init(revision: Revision, previous: Revision) {
        self.revision = revision
        self.previous = previous
    }
}

struct CompactionJournal {
    private var entries: [(position: Position, compaction: Compaction)] = []
    private var committed: [Compaction] = []

    mutating func append(_ compaction: Compaction, at position: Position) { entries.append((position, compaction)) }

    mutating func commit(through position: Position) {
        guard let first = entries.first, first.position <= position else { return }
        let end = entries.firstIndex { $0.position > position } ?? entries.endIndex
        committed += entries[..<end].map(\.compaction)
        entries.removeSubrange(..<end)
    }

    mutating func rollBack(after position: Position) {
        while let last = entries.last, last.position > position { entries.removeLast() }
    }

    mutating func takeCommitted() -> [Compaction] {
        defer { committed = [] }
        return committed
    }
}
