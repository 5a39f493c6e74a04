// Owns: the checks of requests against what a caller may do. Source: etcd's server/etcdserver/apply/auth.go.
//
// Nothing is asked of a request that names no key: a transaction without operations is anybody's, as in etcd.
package import Bytes
package import EtcdAPI

package enum Rights: Sendable {
    /// Auth is not enabled, or the caller has the role root.
    case everything
    case ranges(PermissionSet)
    /// Whatever is asked for, the answer is this.
    case refused(EtcdError)

    // MARK: Keys

    package func checkRead(_ key: ByteString, _ rangeEnd: ByteString = ByteString()) throws(EtcdError) {
        switch self {
        case .everything: return
        case .ranges(let permissions):
            guard permissions.readable.contains(key: key, rangeEnd: rangeEnd) else { throw .permissionDenied }
        case .refused(let error): throw error
        }
    }

    package func checkWrite(_ key: ByteString, _ rangeEnd: ByteString = ByteString()) throws(EtcdError) {
        switch self {
        case .everything: return
        case .ranges(let permissions):
            guard permissions.writable.contains(key: key, rangeEnd: rangeEnd) else { throw .permissionDenied }
        case .refused(let error): throw error
        }
    }

    /// A lease can be revoked, kept alive and given more keys by those who may write all keys that it has.
    package func checkWrite(all keys: some Sequence<ByteString>) throws(EtcdError) {
        if case .everything = self { return }
        for key in keys { try checkWrite(key) }
    }

    package func checkRead(all keys: some Sequence<ByteString>) throws(EtcdError) {
        if case .everything = self { return }
        for key in keys { try checkRead(key) }
    }

    // MARK: Requests

    package func check(_ request: RangeRequest) throws(EtcdError) { try checkRead(request.key, request.rangeEnd) }

    /// A watch of an empty key starts at the first one.
    package func check(_ request: WatchCreateRequest) throws(EtcdError) {
        try checkRead(request.key.isEmpty ? ByteString([0]) : request.key, request.rangeEnd)
    }

    /// `keysOfLease` gives the keys that a lease has; none where there is no such lease.
    package func check(
        _ request: PutRequest, keysOfLease: (LeaseID) -> some Sequence<ByteString>
    ) throws(EtcdError) {
        if case .everything = self { return }
        try checkWrite(request.key)
        if request.lease != 0 { try checkWrite(all: keysOfLease(request.lease)) }
        if request.prevKV { try checkRead(request.key) }
    }

    package func check(_ request: DeleteRangeRequest) throws(EtcdError) {
        try checkWrite(request.key, request.rangeEnd)
        if request.prevKV { try checkRead(request.key, request.rangeEnd) }
    }

    /// Both branches count, whichever will run, and so do those of transactions inside.
    package func check(
        _ request: TxnRequest, keysOfLease: (LeaseID) -> some Sequence<ByteString>
    ) throws(EtcdError) {
        if case .everything = self { return }
        for compare in request.compare { try checkRead(compare.key, compare.rangeEnd) }
        for operation in request.success { try check(operation, keysOfLease) }
        for operation in request.failure { try check(operation, keysOfLease) }
    }

    private func check(
        _ operation: RequestOp, _ keysOfLease: (LeaseID) -> some Sequence<ByteString>
    ) throws(EtcdError) {
        switch operation {
        case .range(let request): try check(request)
        case .put(let request): try check(request, keysOfLease: keysOfLease)
        case .deleteRange(let request): try check(request)
        case .txn(let request): try check(request, keysOfLease: keysOfLease)
        case .empty: break
        }
    }
}
