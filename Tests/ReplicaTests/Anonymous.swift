// Owns: what clients ask who have not said who they are, as most tests do.
import Calls
import EtcdAPI
import Keyspace
import Replica

extension ReplicaEvent {
    static func requestArrived(_ id: CallID, _ request: Request) -> ReplicaEvent { .requestArrived(id, request, by: .anonymous) }

    static func watchOpened(_ id: CallID) -> ReplicaEvent { .watchOpened(id, by: .anonymous) }
}
