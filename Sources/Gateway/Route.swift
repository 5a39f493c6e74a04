// Owns: which path of the gateway is which call.
// Must never: differ from proto/*.proto, which SchemaTests holds it against.
internal import Bytes

/// A path that takes a POST.
package struct Route: Sendable {
    package let path: String
    /// gRPC's path of the call.
    package let call: String
    /// Where the messages are in the schema.
    package let request: Int
    package let answer: Int
    /// Whether the answer is a line of `{"result":...}` for each message.
    package let answerStreams: Bool
    /// Whether the body may have several messages.
    package let requestStreams: Bool

    fileprivate init(
        _ path: String, _ call: String, _ request: String, _ answer: String, answerStreams: Bool = false, requestStreams: Bool = false
    ) {
        guard let requestIndex = Schema.index(of: request), let answerIndex = Schema.index(of: answer) else {
            violated("\(call) takes or gives a message that is not in the schema")
        }
        self.path = path
        self.call = call
        self.request = requestIndex
        self.answer = answerIndex
        self.answerStreams = answerStreams
        self.requestStreams = requestStreams
    }

    /// The call that a clean path without its query names, with `/v3beta/` for `/v3/` as in etcd.
    package static func find(_ path: String) -> Route? {
        if let route = byPath[path] { return route }
        let beta = "/v3beta/"
        return path.hasPrefix(beta) ? byPath["/v3/" + path.dropFirst(beta.count)] : nil
    }

    private static let byPath = Dictionary(uniqueKeysWithValues: all.map { ($0.path, $0) })

    package static let all: [Route] = keys + leases + members + upkeep + auth + coordination

    private static let keys: [Route] = [
        ("range", "Range", "Range"), ("put", "Put", "Put"), ("deleterange", "DeleteRange", "DeleteRange"), ("txn", "Txn", "Txn"),
        ("compaction", "Compact", "Compaction"),
    ].map { Route("/v3/kv/" + $0.0, "/etcdserverpb.KV/" + $0.1, $0.2 + "Request", $0.2 + "Response") }

    private static let leases: [Route] =
        // Three of them have older names too.
        [
            ("lease/grant", "LeaseGrant"), ("lease/revoke", "LeaseRevoke"), ("kv/lease/revoke", "LeaseRevoke"),
            ("lease/timetolive", "LeaseTimeToLive"), ("kv/lease/timetolive", "LeaseTimeToLive"), ("lease/leases", "LeaseLeases"),
            ("kv/lease/leases", "LeaseLeases"),
        ].map { Route("/v3/" + $0.0, "/etcdserverpb.Lease/" + $0.1, $0.1 + "Request", $0.1 + "Response") } + [
            Route(
                "/v3/lease/keepalive", "/etcdserverpb.Lease/LeaseKeepAlive", "LeaseKeepAliveRequest", "LeaseKeepAliveResponse",
                answerStreams: true, requestStreams: true),
            Route(
                "/v3/watch", "/etcdserverpb.Watch/Watch", "WatchRequest", "WatchResponse", answerStreams: true, requestStreams: true),
        ]

    private static let members: [Route] = ["Add", "Remove", "Update", "List", "Promote"].map {
        Route(
            "/v3/cluster/member/" + $0.lowercased(), "/etcdserverpb.Cluster/Member" + $0, "Member\($0)Request", "Member\($0)Response")
    }

    private static let upkeep: [Route] =
        [
            ("alarm", "Alarm"), ("status", "Status"), ("defragment", "Defragment"), ("hash", "Hash"), ("hashkv", "HashKV"),
            ("transfer-leadership", "MoveLeader"), ("downgrade", "Downgrade"),
        ].map { Route("/v3/maintenance/" + $0.0, "/etcdserverpb.Maintenance/" + $0.1, $0.1 + "Request", $0.1 + "Response") } + [
            Route(
                "/v3/maintenance/snapshot", "/etcdserverpb.Maintenance/Snapshot", "SnapshotRequest", "SnapshotResponse",
                answerStreams: true)
        ]

    private static let auth: [Route] = [
        ("enable", "AuthEnable", "AuthEnable"), ("disable", "AuthDisable", "AuthDisable"), ("status", "AuthStatus", "AuthStatus"),
        ("authenticate", "Authenticate", "Authenticate"), ("user/add", "UserAdd", "AuthUserAdd"), ("user/get", "UserGet", "AuthUserGet"),
        ("user/list", "UserList", "AuthUserList"), ("user/delete", "UserDelete", "AuthUserDelete"),
        ("user/changepw", "UserChangePassword", "AuthUserChangePassword"), ("user/grant", "UserGrantRole", "AuthUserGrantRole"),
        ("user/revoke", "UserRevokeRole", "AuthUserRevokeRole"), ("role/add", "RoleAdd", "AuthRoleAdd"),
        ("role/get", "RoleGet", "AuthRoleGet"), ("role/list", "RoleList", "AuthRoleList"), ("role/delete", "RoleDelete", "AuthRoleDelete"),
        ("role/grant", "RoleGrantPermission", "AuthRoleGrantPermission"),
        ("role/revoke", "RoleRevokePermission", "AuthRoleRevokePermission"),
    ].map { Route("/v3/auth/" + $0.0, "/etcdserverpb.Auth/" + $0.1, $0.2 + "Request", $0.2 + "Response") }

    private static let coordination: [Route] =
        [("lock", "Lock"), ("unlock", "Unlock")].map {
            Route("/v3/lock/" + $0.0, "/v3lockpb.Lock/" + $0.1, $0.1 + "Request", $0.1 + "Response")
        }
        + [("campaign", "Campaign"), ("proclaim", "Proclaim"), ("leader", "Leader"), ("resign", "Resign")].map {
            Route("/v3/election/" + $0.0, "/v3electionpb.Election/" + $0.1, $0.1 + "Request", $0.1 + "Response")
        } + [
            Route(
                "/v3/election/observe", "/v3electionpb.Election/Observe", "LeaderRequest", "LeaderResponse", answerStreams: true)
        ]
}
