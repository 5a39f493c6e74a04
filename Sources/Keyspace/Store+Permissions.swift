// Owns: whether a client may do what it asks, in etcd's order of complaints: a token that is not good, then space, then rights.
// Must never: ask anything while auth is not enabled.
// Source: etcd's server/etcdserver/{v3_server,apply/apply_auth}.go.
internal import Auth
internal import Bytes
package import EtcdAPI

/// What a call asks of its client, beside rights to keys.
package enum AccessNeed: Hashable, Sendable {
    /// That the token is good, if there is one.
    case nothing
    case identity
    /// The role root.
    case administration
}

extension Store {
    // MARK: Writes, judged at the tip

    func check(_ request: WriteRequest, by principal: Principal) throws(EtcdError) {
        _ = try auth.identity(of: principal, .tip)
        if quotaBytes > 0 || !alarms.isEmpty { try checkSpace(request) }
        switch request {
        case .put(let put):
            let leases = leases
            try auth.rights(of: principal, .tip).check(put, keysOfLease: { leases.keys(of: $0) })
        case .deleteRange(let delete): try auth.rights(of: principal, .tip).check(delete)
        case .txn(let txn):
            let leases = leases
            try auth.rights(of: principal, .tip).check(txn, keysOfLease: { leases.keys(of: $0) })
        case .leaseGrant: try auth.checkPresent(principal, .tip)
        case .leaseRevoke(let id):
            try auth.checkPresent(principal, .tip)
            try auth.leaseRights(of: principal, .tip).checkWrite(all: leases.keys(of: id))
        case .compact, .alarm: try auth.checkAdmin(principal, .tip)
        // It checks by itself.
        case .auth: break
        }
    }

    // MARK: Reads, judged by what is committed

    package func check(_ request: RangeRequest, by principal: Principal) throws(EtcdError) {
        if auth.isEnabled(.committed) { try auth.rights(of: principal, .committed).check(request) }
    }

    /// A transaction that only reads.
    package func check(_ txn: TxnRequest, by principal: Principal) throws(EtcdError) {
        if auth.isEnabled(.committed) { try auth.rights(of: principal, .committed).check(txn, keysOfLease: { _ in EmptyCollection() }) }
    }

    package func check(_ request: WatchCreateRequest, by principal: Principal) throws(EtcdError) {
        if auth.isEnabled(.committed) { try auth.rights(of: principal, .committed).check(request) }
    }

    package func check(_ need: AccessNeed, by principal: Principal) throws(EtcdError) {
        switch need {
        case .nothing: _ = try auth.identity(of: principal, .committed)
        case .identity: try auth.checkPresent(principal, .committed)
        case .administration: try auth.checkAdmin(principal, .committed)
        }
    }
}
