// Owns: in what etcd 3.5.1, which tests can install, differs from the release that Pine follows, and nothing else.
//
// 1. It sorts with an older algorithm of Go's, so keys whose sorted field is equal come in another order. Pine's order of
//    ties is checked against recorded answers of the release that it follows; here ties are put in key order on both sides, after
//    checking that the sorted field is in order. A limit would cut ties off at random, so it isn't combined with such a sort.
// 2. It doesn't check the numbers of sort orders and targets: none that don't exist are sent.
// 3. With `keys_only` it answers with leases: no key here has one.
// 4. It has no RangeStream.
// 5. Of several mistakes in one transaction it reports another one: it checks all puts before all ranges, and a put's missing key
//    before its missing lease. Transactions here have mistakes of one kind only.
//
// Headers differ between any two clusters in their ids and terms; only revisions are compared.
import Bytes
import EtcdAPI

enum Differences {
    /// Takes the limit off a request that sorts by a field in which keys can be equal.
    static func avoidTies(in request: inout RangeRequest) {
        if request.sortTarget != .key { request.limit = 0 }
    }

    // MARK: Making answers comparable

    static func normalise(_ response: inout PutResponse) { normalise(&response.header) }

    static func normalise(_ response: inout DeleteRangeResponse) { normalise(&response.header) }

    static func normalise(_ response: inout CompactionResponse) { normalise(&response.header) }

    static func normalise(_ response: inout RangeResponse, _ request: RangeRequest) {
        normalise(&response.header)
        guard request.sortTarget != .key, isSorted(response.kvs, request) else { return }
        response.kvs.sort { $0.key < $1.key }
    }

    static func normalise(_ response: inout TxnResponse, _ request: TxnRequest) {
        normalise(&response.header)
        let operations = response.succeeded ? request.success : request.failure
        for index in response.responses.indices where index < operations.count {
            switch (operations[index], response.responses[index]) {
            case (.range(let range), .range(var answer)):
                normalise(&answer, range)
                response.responses[index] = .range(answer)
            case (.put, .put(var answer)):
                normalise(&answer)
                response.responses[index] = .put(answer)
            case (.deleteRange, .deleteRange(var answer)):
                normalise(&answer)
                response.responses[index] = .deleteRange(answer)
            case (.txn(let nested), .txn(var answer)):
                normalise(&answer, nested)
                response.responses[index] = .txn(answer)
            default: break
            }
        }
    }

    private static func normalise(_ header: inout ResponseHeader?) {
        header?.clusterID = 0
        header?.memberID = 0
        header?.raftTerm = 0
    }

    /// Whether the sorted field is in order. (Of values that were left out nothing can be said.)
    private static func isSorted(_ kvs: [KeyValue], _ request: RangeRequest) -> Bool {
        if request.sortTarget == .value, request.keysOnly { return true }
        let descending = request.sortOrder == .descend
        return zip(kvs, kvs.dropFirst()).allSatisfy { pair in
            let (a, b) = descending ? (pair.1, pair.0) : (pair.0, pair.1)
            switch request.sortTarget {
            case .version: return a.version <= b.version
            case .create: return a.createRevision <= b.createRevision
            case .mod: return a.modRevision <= b.modRevision
            default: return a.value <= b.value
            }
        }
    }
}
