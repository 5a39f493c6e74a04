// Owns: what waits for values: the operation, the values that it lacks, and those that were read for it.
// Must never: lose a value that was read for an operation before it goes on.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

/// An operation that lacks values. `Work` is how to go on with it.
struct LackingOperation<Work> {
    let work: Work
    /// nil for one that nobody can cancel, and that has no deadline.
    let call: CallID?
    let missing: [MissingValue]
    /// What was read for it. A second look may show that it lacks more.
    private(set) var values: [Position: ByteString]
    let arrivedAt: Instant
    /// The revision that must stay readable until it goes on; nil where it may go on at another.
    let pinnedRevision: Revision?

    init(
        _ work: Work, call: CallID?, missing: [MissingValue], values: [Position: ByteString] = [:], arrivedAt: Instant,
        pinnedRevision: Revision? = nil
    ) {
        self.work = work
        self.call = call
        self.missing = missing
        self.values = values
        self.arrivedAt = arrivedAt
        self.pinnedRevision = pinnedRevision
    }

    /// What it lacks, in bytes.
    var missingBytes: Int { missing.reduce(0) { $0 + $1.byteCount } }

    /// Whether it still lacks something: after a read, rows that compaction has deleted.
    var isLacking: Bool { missing.contains { values[$0.position] == nil } }

    /// Takes in what was read. Gives the values that were there, with their places.
    mutating func take(_ read: [Position: ByteString]) -> [(missing: MissingValue, value: ByteString)] {
        var found: [(missing: MissingValue, value: ByteString)] = []
        for missing in missing {
            guard let value = read[missing.position] else { continue }
            values[missing.position] = value
            found.append((missing, value))
        }
        return found
    }
}
