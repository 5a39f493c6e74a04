// Owns: the names of the calls, and which of their sides stream.
package import Bytes

/// The calls of the wire API.
package enum EtcdMethod: UInt8, CaseIterable, Sendable {
    case range
    case rangeStream
    case put
    case deleteRange
    case txn
    case compact
    case watch
    case leaseGrant
    case leaseRevoke
    case leaseKeepAlive
    case leaseTimeToLive
    case leaseLeases
    case memberAdd
    case memberRemove
    case memberUpdate
    case memberList
    case memberPromote
    case alarm
    case status
    case defragment
    case hash
    case hashKV
    case snapshot
    case moveLeader
    case downgrade
    // The service Auth.
    case authEnable
    case authDisable
    case authStatus
    case authenticate
    case userAdd
    case userGet
    case userList
    case userDelete
    case userChangePassword
    case userGrantRole
    case userRevokeRole
    case roleAdd
    case roleGet
    case roleList
    case roleDelete
    case roleGrantPermission
    case roleRevokePermission
    // gRPC's own health service.
    case healthCheck
    case healthWatch
    // The services Lock and Election.
    case lock
    case unlock
    case campaign
    case proclaim
    case leader
    case observe
    case resign

    /// How many messages go each way.
    package enum Kind: Sendable {
        /// One request, one answer.
        case unary
        /// One request, any number of answers.
        case serverStreaming
        /// Any number both ways, in any order.
        case bidirectional
    }

    package var kind: Kind {
        switch self {
        case .rangeStream, .snapshot, .healthWatch, .observe: .serverStreaming
        case .watch, .leaseKeepAlive: .bidirectional
        default: .unary
        }
    }

    /// The `:path` of the call's HTTP/2 request.
    package var path: String {
        switch self {
        case .range: "/etcdserverpb.KV/Range"
        case .rangeStream: "/etcdserverpb.KV/RangeStream"
        case .put: "/etcdserverpb.KV/Put"
        case .deleteRange: "/etcdserverpb.KV/DeleteRange"
        case .txn: "/etcdserverpb.KV/Txn"
        case .compact: "/etcdserverpb.KV/Compact"
        case .watch: "/etcdserverpb.Watch/Watch"
        case .leaseGrant: "/etcdserverpb.Lease/LeaseGrant"
        case .leaseRevoke: "/etcdserverpb.Lease/LeaseRevoke"
        case .leaseKeepAlive: "/etcdserverpb.Lease/LeaseKeepAlive"
        case .leaseTimeToLive: "/etcdserverpb.Lease/LeaseTimeToLive"
        case .leaseLeases: "/etcdserverpb.Lease/LeaseLeases"
        case .memberAdd: "/etcdserverpb.Cluster/MemberAdd"
        case .memberRemove: "/etcdserverpb.Cluster/MemberRemove"
        case .memberUpdate: "/etcdserverpb.Cluster/MemberUpdate"
        case .memberList: "/etcdserverpb.Cluster/MemberList"
        case .memberPromote: "/etcdserverpb.Cluster/MemberPromote"
        case .alarm: "/etcdserverpb.Maintenance/Alarm"
        case .status: "/etcdserverpb.Maintenance/Status"
        case .defragment: "/etcdserverpb.Maintenance/Defragment"
        case .hash: "/etcdserverpb.Maintenance/Hash"
        case .hashKV: "/etcdserverpb.Maintenance/HashKV"
        case .snapshot: "/etcdserverpb.Maintenance/Snapshot"
        case .moveLeader: "/etcdserverpb.Maintenance/MoveLeader"
        case .downgrade: "/etcdserverpb.Maintenance/Downgrade"
        case .authEnable: "/etcdserverpb.Auth/AuthEnable"
        case .authDisable: "/etcdserverpb.Auth/AuthDisable"
        case .authStatus: "/etcdserverpb.Auth/AuthStatus"
        case .authenticate: "/etcdserverpb.Auth/Authenticate"
        case .userAdd: "/etcdserverpb.Auth/UserAdd"
        case .userGet: "/etcdserverpb.Auth/UserGet"
        case .userList: "/etcdserverpb.Auth/UserList"
        case .userDelete: "/etcdserverpb.Auth/UserDelete"
        case .userChangePassword: "/etcdserverpb.Auth/UserChangePassword"
        case .userGrantRole: "/etcdserverpb.Auth/UserGrantRole"
        case .userRevokeRole: "/etcdserverpb.Auth/UserRevokeRole"
        case .roleAdd: "/etcdserverpb.Auth/RoleAdd"
        case .roleGet: "/etcdserverpb.Auth/RoleGet"
        case .roleList: "/etcdserverpb.Auth/RoleList"
        case .roleDelete: "/etcdserverpb.Auth/RoleDelete"
        case .roleGrantPermission: "/etcdserverpb.Auth/RoleGrantPermission"
        case .roleRevokePermission: "/etcdserverpb.Auth/RoleRevokePermission"
        case .healthCheck: "/grpc.health.v1.Health/Check"
        case .healthWatch: "/grpc.health.v1.Health/Watch"
        case .lock: "/v3lockpb.Lock/Lock"
        case .unlock: "/v3lockpb.Lock/Unlock"
        case .campaign: "/v3electionpb.Election/Campaign"
        case .proclaim: "/v3electionpb.Election/Proclaim"
        case .leader: "/v3electionpb.Election/Leader"
        case .observe: "/v3electionpb.Election/Observe"
        case .resign: "/v3electionpb.Election/Resign"
        }
    }

    /// The call of this path, or nil for one that is not served.
    package init?(path: ByteString) {
        guard let method = Self.byPath[path] else { return nil }
        self = method
    }

    private static let byPath = Dictionary(uniqueKeysWithValues: allCases.map { (ByteString($0.path), $0) })
}
