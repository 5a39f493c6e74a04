// Owns: the keys of a sorted Range on their way to where they are sorted, and back.
// Must never: be run where others wait for the thread: it takes as long as its keys are many.
internal import Bytes
internal import EtcdAPI

/// Keys that are to be sorted. A plain value, that may go to another thread.
package struct SortJob: Sendable {
    /// Tells jobs apart.
    package let number: UInt64
    var found: [RangeScan.Found]
    private let target: RangeRequest.SortTarget
    private let descending: Bool

    init(number: UInt64, found: [RangeScan.Found], _ request: borrowing RangeRequest) {
        self.number = number
        self.found = found
        target = request.sortTarget
        descending = request.sortOrder == .descend
    }

    /// Sorts as the request asks. An order of NONE on a target other than the key means ascending.
    package mutating func run() {
        switch target {
        case .version: sort { $0.version.version < $1.version.version }
        case .create: sort { $0.version.createRevision < $1.version.createRevision }
        case .mod: sort { $0.version.position.revision < $1.version.position.revision }
        // All were taken before.
        default: sort { ($0.version.value ?? ByteString()) < ($1.version.value ?? ByteString()) }
        }
    }

    private mutating func sort(by precedes: (RangeScan.Found, RangeScan.Found) -> Bool) {
        if descending {
            found.goSort { precedes($1, $0) }
        } else {
            found.goSort(by: precedes)
        }
    }
}

extension SortJob: Hashable {
    package static func == (a: SortJob, b: SortJob) -> Bool { a.number == b.number }

    package func hash(into hasher: inout Hasher) { hasher.combine(number) }
}
