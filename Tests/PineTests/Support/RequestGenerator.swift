// Owns: random KV requests, valid and invalid, that exercise every option.
// Must never: make a request that kills etcd: a put that keeps the value or the lease of a key which the same transaction
// has deleted.
import Bytes
import EtcdAPI
import TestSupport

/// A request of the KV service.
enum KVRequest {
    case range(RangeRequest)
    case put(PutRequest)
    case deleteRange(DeleteRangeRequest)
    case txn(TxnRequest)
    case compact(CompactionRequest)
}

struct RequestGenerator {
    var random: SeededGenerator
    /// What the store has come to: revisions are chosen around these.
    var revision: Revision = 1
    var compacted: Revision = 0

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    private static let keys: [ByteString] =
        [
            "a", "a/", "a/b", "a/b/c", "b", "foo", "foo\0", "foo/1", "foo/2", "foo/3", "fop", "\0", "\0\0", "ключ", "日本", "k\0v",
            "/registry/pods/default/p1", "/registry/pods/default/p2", "/registry/pods/kube-system/p1",
            "/registry/services/specs/default/s1", "compact_rev_key",
        ] + [
            ByteString([0xFF]), ByteString([0xFF, 0xFF]), ByteString([0xFE, 0xFF]), ByteString([UInt8](repeating: 0x7A, count: 300)),
        ]

    private static let unknownLease: LeaseID = 987_654_321

    mutating func next() -> KVRequest {
        let draw = random.number(0...999)
        switch draw {
        case ..<300: return .put(put())
        case ..<620: return .range(range())
        case ..<720: return .deleteRange(delete())
        case ..<980: return .txn(txn())
        default:
            let at = random.pick([
                revision, revision - 3, Revision(random.number(1...Int(revision.rawValue))), revision + 5, compacted, 0, -1,
            ])
            return .compact(CompactionRequest(revision: at, physical: random.chance(0.5)))
        }
    }

    // MARK: Pieces

    private mutating func key() -> ByteString { random.pick(Self.keys) }

    private mutating func anyKey() -> ByteString { random.chance(0.005) ? "" : key() }

    private mutating func end(_ key: ByteString) -> ByteString {
        switch random.number(0...99) {
        case ..<45: return ByteString()
        case ..<60: return ByteString([0])
        case ..<85:
            let successor = key.prefixSuccessor()
            return successor.isEmpty ? ByteString([0]) : successor
        default: return self.key()
        }
    }

    private mutating func value() -> ByteString {
        switch random.number(0...999) {
        case ..<100: return ByteString()
        case ..<350: return random.pick(["1", "2", "3"])
        case ..<980: return ByteString((0..<random.number(1...40)).map { _ in UInt8(random.number(0...255)) })
        case ..<997: return large(random.number(1_000...200_000))
        case ..<999: return large(1_700_000)  // larger than a request may be
        default: return large(2_200_000)  // larger than a message may be
        }
    }

    private mutating func large(_ count: Int) -> ByteString {
        ByteString([UInt8](repeating: UInt8(random.number(0...255)), count: count))
    }

    private mutating func someRevision() -> Revision {
        switch random.number(0...99) {
        case ..<50: return 0
        case ..<90: return Revision(random.number(max(1, Int(compacted.rawValue))...Int(revision.rawValue)))
        default: return random.pick([revision + 1, revision + 1_000, 1, compacted, max(0, compacted - 1), -1])
        }
    }

    private mutating func lease() -> LeaseID { random.chance(0.02) ? Self.unknownLease : 0 }

    private mutating func range() -> RangeRequest {
        var request = RangeRequest(key: anyKey())
        request.rangeEnd = end(request.key)
        if random.chance(0.35) { request.limit = random.pick([0, 1, 2, 3, 4, 5, 5, 100, Int64.max, -1]) }
        request.revision = someRevision()
        if random.chance(0.4) {
            request.sortOrder = random.pick([.none, .ascend, .descend])
            request.sortTarget = random.pick([.key, .version, .create, .mod, .value])
        }
        request.serializable = random.chance(0.2)
        request.keysOnly = random.chance(0.15)
        request.countOnly = random.chance(0.1)
        if random.chance(0.2) {
            let bound = Revision(random.number(1...Int(revision.rawValue) + 1))
            switch random.number(0...3) {
            case 0: request.minModRevision = bound
            case 1: request.maxModRevision = bound
            case 2: request.minCreateRevision = bound
            default: request.maxCreateRevision = bound
            }
            if random.chance(0.3) { request.maxModRevision = Revision(random.number(1...Int(revision.rawValue) + 1)) }
        }
        Differences.avoidTies(in: &request)
        return request
    }

    private mutating func put() -> PutRequest {
        var request = PutRequest(key: anyKey(), value: value(), lease: lease(), prevKV: random.chance(0.3))
        if random.chance(0.08) {
            request.ignoreValue = true
            if random.chance(0.8) { request.value = ByteString() }
        }
        if random.chance(0.08) {
            request.ignoreLease = true
            if random.chance(0.8) { request.lease = 0 }
        }
        return request
    }

    private mutating func delete() -> DeleteRangeRequest {
        var request = DeleteRangeRequest(key: anyKey(), prevKV: random.chance(0.5))
        if random.chance(0.25) { request.rangeEnd = end(request.key) }
        return request
    }

    private mutating func compare() -> Compare {
        var comparison = Compare(
            result: Compare.CompareResult(rawValue: Int32(random.number(0...3))),
            target: Compare.CompareTarget(rawValue: Int32(random.number(0...4))), key: anyKey())
        if random.chance(0.02) { comparison.result = Compare.CompareResult(rawValue: 9) }
        if random.chance(0.02) { comparison.target = Compare.CompareTarget(rawValue: 9) }
        let number = random.pick([0, 0, 1, 2, Int64(random.number(0...Int(revision.rawValue))), -1])
        // Now and then the union holds another member than the target names, or none.
        let named = random.chance(0.95) ? comparison.target : Compare.CompareTarget(rawValue: Int32(random.number(0...5)))
        switch named {
        case .version: comparison.targetUnion = .version(number)
        case .create: comparison.targetUnion = .createRevision(Revision(number))
        case .mod: comparison.targetUnion = .modRevision(Revision(number))
        case .value: comparison.targetUnion = .value(value())
        case .lease: comparison.targetUnion = .lease(LeaseID(number))
        default: comparison.targetUnion = .none
        }
        if random.chance(0.2) { comparison.rangeEnd = end(comparison.key) }
        return comparison
    }

    private mutating func operation(depth: Int) -> RequestOp {
        switch random.number(0...99) {
        case ..<35: return .range(range())
        case ..<74: return .put(put())
        case ..<75: return random.chance(0.2) ? .empty : .put(put())
        case ..<90: return .deleteRange(delete())
        default: return depth >= 3 ? .deleteRange(delete()) : .txn(txn(depth: depth + 1))
        }
    }

    private mutating func txn(depth: Int = 0) -> TxnRequest {
        var request = TxnRequest()
        for _ in 0..<random.number(0...2) { request.compare.append(compare()) }
        for _ in 0..<random.number(0...3) { request.success.append(operation(depth: depth)) }
        for _ in 0..<random.number(0...2) { request.failure.append(operation(depth: depth)) }
        if depth == 0, random.chance(0.01) {
            // Around the most operations that a transaction may have.
            let count = random.pick([127, 128, 129, 200])
            request.success = (0..<count).map { .put(PutRequest(key: ByteString("many/\($0)"), value: "x")) }
        }
        if depth == 0 { restrictMistakes(in: &request) }
        return request
    }

    /// What makes a transaction fail when it is applied, once it is well-formed.
    private enum Mistake {
        case revision
        case lease
        case missingKey
    }

    /// Leaves only one kind of mistake (see `Differences`, 5), and no put that would kill etcd.
    private mutating func restrictMistakes(in request: inout TxnRequest) {
        let allowed = random.pick([Mistake.revision, .lease, .missingKey])
        let keepsIgnores = allowed == .missingKey && !request.deletesSomething
        let (revision, compacted) = (revision, compacted)
        request.editOperations { operation in
            switch operation {
            case .range(var range):
                guard allowed != .revision, range.revision > revision || range.revision < compacted else { return }
                range.revision = 0
                operation = .range(range)
            case .put(var put):
                if allowed != .lease { put.lease = 0 }
                if !keepsIgnores {
                    put.ignoreValue = false
                    put.ignoreLease = false
                }
                operation = .put(put)
            default: break
            }
        }
    }
}

extension TxnRequest {
    /// Whether any operation, however nested and in whatever branch, deletes.
    fileprivate var deletesSomething: Bool {
        (success + failure).contains { operation in
            switch operation {
            case .deleteRange: true
            case .txn(let nested): nested.deletesSomething
            default: false
            }
        }
    }

    /// Has `edit` change each operation that isn't a transaction, however nested.
    fileprivate mutating func editOperations(_ edit: (inout RequestOp) -> Void) {
        func walk(_ operations: inout [RequestOp]) {
            for index in operations.indices {
                if case .txn(var nested) = operations[index] {
                    nested.editOperations(edit)
                    operations[index] = .txn(nested)
                } else {
                    edit(&operations[index])
                }
            }
        }
        walk(&success)
        walk(&failure)
    }
}
