// Owns: whether a client may do with a lease what it asks, by the lease's keys.
internal import Auth
internal import EtcdAPI
internal import Keyspace

extension Store {
    /// What a client is told that may not ask this; nil where it may.
    func refusal(of request: LeaseRequest, by principal: Principal) -> EtcdError? {
        guard auth.isEnabled(.committed) else { return nil }
        do throws(EtcdError) {
            switch request {
            case .keepAliveEnd: return nil
            case .keepAlive(let lease):
                try auth.checkPresent(principal, .committed)
                try auth.leaseRights(of: principal, .committed).checkWrite(all: leases.keys(of: lease))
            case .timeToLive(let lease, let keys):
                try auth.checkPresent(principal, .committed)
                if keys { try auth.leaseRights(of: principal, .committed).checkRead(all: leases.keys(of: lease)) }
            case .list:
                try auth.checkPresent(principal, .committed)
                let rights = try auth.leaseRights(of: principal, .committed)
                if case .everything = rights { return nil }
                for lease in leases.orderedIDs { try rights.checkRead(all: leases.keys(of: lease)) }
            }
            return nil
        } catch {
            return error
        }
    }
}
