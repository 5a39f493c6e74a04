// Owns: a mark that is compared with the log while that is read.
package import Keyspace

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
