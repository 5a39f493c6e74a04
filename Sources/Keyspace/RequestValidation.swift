// Owns: what can be said of a request without looking at the store: the checks that etcd's RPC layer makes, in its order,
// with its errors (server/etcdserver/api/v3rpc/key.go).
package import EtcdAPI

extension RangeRequest {
    package func validate() throws(EtcdError) {
        if key.isEmpty { throw .emptyKey }
        if !(0...2).contains(sortOrder.rawValue) || !(0...4).contains(sortTarget.rawValue) { throw .invalidSortOption }
    }

    /// What RangeStream refuses on top: it can't sort what it has not seen, and doesn't filter.
    package func validateForStream() throws(EtcdError) {
        try validate()
        if !hasDefaultOrder { throw .rangeStreamSortOrder }
        if hasRevisionFilters { throw .rangeStreamRevisionFilters }
    }

    /// Whether keys in ascending order are what was asked for. (An order of NONE counts, whatever the target.)
    var hasDefaultOrder: Bool { sortOrder == .none || (sortTarget == .key && sortOrder == .ascend) }

    var hasRevisionFilters: Bool {
        minModRevision != 0 || maxModRevision != 0 || minCreateRevision != 0 || maxCreateRevision != 0
    }
}

extension PutRequest {
    package func validate() throws(EtcdError) {
        if key.isEmpty { throw .emptyKey }
        if ignoreValue && !value.isEmpty { throw .valueProvided }
        if ignoreLease && lease != 0 { throw .leaseProvided }
    }
}

extension DeleteRangeRequest {
    package func validate() throws(EtcdError) {
        if key.isEmpty { throw .emptyKey }
    }
}

extension TxnRequest {
    /// The transaction's shape, then puts and deletes that overlap.
    package func validate(maxTxnOps: Int) throws(EtcdError) {
        try validateShape(operationsLeft: maxTxnOps)
        _ = try WriteSet(checking: success)
        _ = try WriteSet(checking: failure)
    }

    fileprivate func validateShape(operationsLeft: Int) throws(EtcdError) {
        // Each level spends the longest of its lists, so nesting is bounded, too.
        let operations = max(compare.count, success.count, failure.count)
        if operations > operationsLeft { throw .tooManyOps }
        for comparison in compare where comparison.key.isEmpty { throw .emptyKey }
        for operation in success { try operation.validate(operationsLeft: operationsLeft - operations) }
        for operation in failure { try operation.validate(operationsLeft: operationsLeft - operations) }
    }

    /// Whether it holds nothing but ranges: etcd then treats it as a read. (A nested transaction counts as a write.)
    package var isReadOnly: Bool {
        success.allSatisfy(\.isRange) && failure.allSatisfy(\.isRange)
    }

    /// Whether it is read-only and each of its ranges is serializable.
    package var isSerializable: Bool {
        success.allSatisfy(\.isSerializableRange) && failure.allSatisfy(\.isSerializableRange)
    }
}

extension RequestOp {
    fileprivate func validate(operationsLeft: Int) throws(EtcdError) {
        switch self {
        case .range(let request): try request.validate()
        case .put(let request): try request.validate()
        case .deleteRange(let request): try request.validate()
        case .txn(let request): try request.validateShape(operationsLeft: operationsLeft)
        case .empty: throw .keyNotFound
        }
    }

    fileprivate var isRange: Bool {
        if case .range = self { true } else { false }
    }

    fileprivate var isSerializableRange: Bool {
        if case .range(let request) = self { request.serializable } else { false }
    }
}
