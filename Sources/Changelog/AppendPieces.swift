// Owns: how an append that is too large for one statement is cut into several of one transaction.
// Invariant: the pieces are the rows in their order, none of them empty; each is within the limits, or a single row.
internal import Keyspace
internal import Replica

struct AppendPieces {
    let ranges: [Range<Int>]
    /// The largest piece, in bytes.
    let largestBytes: Int

    init(_ rows: [LogRow], byteLimit: Int, rowLimit: Int) {
        var ranges: [Range<Int>] = []
        var (start, bytes, largest) = (0, 0, 0)
        for index in rows.indices {
            let size = rows[index].wireBytes
            if index > start, bytes + size > byteLimit || index - start >= rowLimit {
                ranges.append(start..<index)
                (start, bytes) = (index, 0)
            }
            bytes += size
            largest = max(largest, bytes)
        }
        ranges.append(start..<rows.count)
        self.ranges = ranges
        largestBytes = largest
    }
}

extension AppendBatch {
    /// What its rows take in the parameters of a statement, in bytes.
    var wireBytes: Int { rows.reduce(0) { $0 + $1.wireBytes } }
}

extension LogRow {
    /// An element of each column's array, with its length in front.
    fileprivate var wireBytes: Int { Self.fixedBytes + key.count + value.count }

    private static let fixedBytes = 10 * 4 + 6 * 8 + 4 + 2
}
