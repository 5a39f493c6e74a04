// Owns: which keys a list of operations puts and which it deletes, to refuse lists that touch a key twice.
// The rules are etcd's, including what they overlook: a delete up to "\0" (from-key) overlaps nothing.
package import Bytes
internal import EtcdAPI

/// The puts and deletes of a list of operations, nested transactions included.
struct WriteSet {
    private(set) var puts: Set<ByteString> = []
    private(set) var deletes = KeyIntervals()

    /// Throws `duplicateKey` where a key is put twice, or put and deleted.
    init(checking operations: [RequestOp]) throws(EtcdError) {
        // This level's deletes come first: they hold against the puts of every nested transaction.
        for case .deleteRange(let request) in operations { deletes.insert(request.key, end: request.rangeEnd) }
        for case .txn(let nested) in operations {
            let then = try WriteSet(checking: nested.success)
            let otherwise = try WriteSet(checking: nested.failure)
            for key in then.puts {
                if puts.contains(key) || deletes.contains(key) { throw .duplicateKey }
            }
            for key in otherwise.puts {
                // Only one of the two branches runs, so they may put the same key.
                if puts.contains(key) || deletes.contains(key) { throw .duplicateKey }
            }
            puts.formUnion(then.puts)
            puts.formUnion(otherwise.puts)
            deletes.formUnion(then.deletes)
            deletes.formUnion(otherwise.deletes)
        }
        for case .put(let request) in operations {
            if deletes.contains(request.key) || !puts.insert(request.key).inserted { throw .duplicateKey }
        }
    }
}

/// A set of keys made of half-open intervals, kept sorted and disjoint so that a big transaction costs no square.
struct KeyIntervals {
    private var intervals: [(begin: ByteString, end: ByteString)] = []

    /// An empty `end` means the single key `begin`. An interval that ends before it begins holds nothing.
    mutating func insert(_ begin: ByteString, end: ByteString) {
        var begin = begin
        var end = end.isEmpty ? begin.successor() : end
        guard begin < end else { return }
        // Everything that touches the new interval becomes a part of it.
        let first = firstIndex { $0.end >= begin }
        let past = firstIndex { $0.begin > end }
        if first < past {
            begin = min(begin, intervals[first].begin)
            end = max(end, intervals[past - 1].end)
        }
        intervals.replaceSubrange(first..<past, with: [(begin: begin, end: end)])
    }

    mutating func formUnion(_ other: KeyIntervals) {
        for interval in other.intervals { insert(interval.begin, end: interval.end) }
    }

    func contains(_ key: ByteString) -> Bool {
        let index = firstIndex { $0.end > key }
        return index < intervals.count && intervals[index].begin <= key
    }

    /// The first interval that satisfies `condition`, which must be false up to some interval and true from there.
    private func firstIndex(_ condition: ((begin: ByteString, end: ByteString)) -> Bool) -> Int {
        intervals.indices.partitioningIndex { condition(intervals[$0]) }
    }
}

extension ByteString {
    /// The next byte string in order: this one and a zero byte.
    package func successor() -> ByteString {
        var writer = ByteWriter(capacity: count + 1)
        writer.append(self)
        writer.append(0)
        return writer.finish()
    }
}
