// Owns: how calls fail: gRPC's codes, and etcd's errors with the very codes and texts that clients recognise them by
// (etcd's api/v3rpc/rpctypes).

/// Why a call failed, as the client is told.
package struct EtcdError: Error, Hashable, Sendable {
    /// gRPC's status codes (github.com/grpc/grpc, doc/statuscodes.md). The raw value is the `grpc-status`.
    package enum Code: UInt8, Sendable {
        case ok = 0
        case canceled = 1
        case unknown = 2
        case invalidArgument = 3
        case deadlineExceeded = 4
        case notFound = 5
        case alreadyExists = 6
        case permissionDenied = 7
        case resourceExhausted = 8
        case failedPrecondition = 9
        case aborted = 10
        case outOfRange = 11
        case unimplemented = 12
        case `internal` = 13
        case unavailable = 14
        case dataLoss = 15
        case unauthenticated = 16
    }

    package var code: Code
    /// The `grpc-message`, before percent-encoding. Clients look errors up by it.
    package var text: String

    package init(code: Code, text: String) {
        self.code = code
        self.text = text
    }
}

extension EtcdError {
    /// As Go's gRPC writes a status into a text.
    package var goText: String {
        var name = "\(code)"
        name = name == "ok" ? "OK" : name.prefix(1).uppercased() + name.dropFirst()
        return "rpc error: code = \(name) desc = \(text)"
    }
}

extension EtcdError: CustomStringConvertible {
    package var description: String { "\(code): \(text)" }
}

/// Named as in etcd, without `ErrGRPC`; the two of RangeStream have no name there.
extension EtcdError {
    // MARK: Requests

    package static let emptyKey = EtcdError(code: .invalidArgument, text: "etcdserver: key is not provided")
    package static let keyNotFound = EtcdError(code: .invalidArgument, text: "etcdserver: key not found")
    package static let valueProvided = EtcdError(code: .invalidArgument, text: "etcdserver: value is provided")
    package static let leaseProvided = EtcdError(code: .invalidArgument, text: "etcdserver: lease is provided")
    package static let tooManyOps = EtcdError(code: .invalidArgument, text: "etcdserver: too many operations in txn request")
    package static let duplicateKey = EtcdError(code: .invalidArgument, text: "etcdserver: duplicate key given in txn request")
    package static let invalidClientAPIVersion = EtcdError(code: .invalidArgument, text: "etcdserver: invalid client api version")
    package static let invalidSortOption = EtcdError(code: .invalidArgument, text: "etcdserver: invalid sort option")
    package static let rangeStreamSortOrder = EtcdError(
        code: .unimplemented, text: "RangeStream does not support custom sort orders")
    package static let rangeStreamRevisionFilters = EtcdError(
        code: .unimplemented, text: "RangeStream does not support revision filters")
    package static let compacted = EtcdError(code: .outOfRange, text: "etcdserver: mvcc: required revision has been compacted")
    package static let futureRev = EtcdError(code: .outOfRange, text: "etcdserver: mvcc: required revision is a future revision")

    // MARK: Requests that may succeed later

    package static let noSpace = EtcdError(code: .resourceExhausted, text: "etcdserver: mvcc: database space exceeded")

    /// What gRPC says where an answer is larger than it may be. Source: google.golang.org/grpc, stream.go.
    package static func messageTooLarge(bytes: Int, limit: Int) -> EtcdError {
        EtcdError(code: .resourceExhausted, text: "grpc: trying to send message larger than max (\(bytes) vs. \(limit))")
    }

    // MARK: Leases and watches

    package static let leaseNotFound = EtcdError(code: .notFound, text: "etcdserver: requested lease not found")
    package static let leaseExist = EtcdError(code: .failedPrecondition, text: "etcdserver: lease already exists")
    package static let leaseTTLTooLarge = EtcdError(code: .outOfRange, text: "etcdserver: too large lease TTL")
    package static let watchCanceled = EtcdError(code: .canceled, text: "etcdserver: watch canceled")

    // MARK: Members

    package static let memberExist = EtcdError(code: .failedPrecondition, text: "etcdserver: member ID already exist")
    package static let peerURLExist = EtcdError(code: .failedPrecondition, text: "etcdserver: Peer URLs already exists")
    package static let memberNotEnoughStarted = EtcdError(
        code: .failedPrecondition, text: "etcdserver: re-configuration failed due to not enough started members")
    package static let memberBadURLs = EtcdError(code: .invalidArgument, text: "etcdserver: given member URLs are invalid")
    package static let memberNotFound = EtcdError(code: .notFound, text: "etcdserver: member not found")
    package static let memberNotLearner = EtcdError(
        code: .failedPrecondition, text: "etcdserver: can only promote a learner member")
    package static let learnerNotReady = EtcdError(
        code: .failedPrecondition, text: "etcdserver: can only promote a learner member which is in sync with leader")
    package static let tooManyLearners = EtcdError(
        code: .failedPrecondition, text: "etcdserver: too many learner members in cluster")
    package static let clusterIDMismatch = EtcdError(code: .failedPrecondition, text: "etcdserver: cluster ID mismatch")
    package static let requestTooLarge = EtcdError(code: .invalidArgument, text: "etcdserver: request is too large")
    package static let tooManyRequests = EtcdError(code: .resourceExhausted, text: "etcdserver: too many requests")

    // MARK: Permissions

    package static let permissionDenied = EtcdError(code: .permissionDenied, text: "etcdserver: permission denied")
    package static let invalidAuthToken = EtcdError(code: .unauthenticated, text: "etcdserver: invalid auth token")
    package static let authOldRevision = EtcdError(code: .invalidArgument, text: "etcdserver: revision of auth store is old")
    package static let authNotEnabled = EtcdError(code: .failedPrecondition, text: "etcdserver: authentication is not enabled")
    package static let authFailed = EtcdError(
        code: .invalidArgument, text: "etcdserver: authentication failed, invalid user ID or password")
    /// Also what a password hash that is no base64 gets. etcd has no gRPC error for it, so it comes as it is named inside.
    package static let noPasswordUser = EtcdError(
        code: .unknown, text: "auth: authentication failed, password was given for no password user")
    package static let passwordTooLong = EtcdError(code: .unknown, text: "bcrypt: password length exceeds 72 bytes")
    package static let invalidAuthManagement = EtcdError(code: .invalidArgument, text: "etcdserver: invalid auth management")

    // MARK: Users and roles

    package static let rootUserNotExist = EtcdError(code: .failedPrecondition, text: "etcdserver: root user does not exist")
    package static let rootRoleNotExist = EtcdError(
        code: .failedPrecondition, text: "etcdserver: root user does not have root role")
    package static let userAlreadyExist = EtcdError(code: .failedPrecondition, text: "etcdserver: user name already exists")
    package static let userEmpty = EtcdError(code: .invalidArgument, text: "etcdserver: user name is empty")
    package static let userNotFound = EtcdError(code: .failedPrecondition, text: "etcdserver: user name not found")
    package static let roleAlreadyExist = EtcdError(code: .failedPrecondition, text: "etcdserver: role name already exists")
    package static let roleNotFound = EtcdError(code: .failedPrecondition, text: "etcdserver: role name not found")
    package static let roleEmpty = EtcdError(code: .invalidArgument, text: "etcdserver: role name is empty")
    package static let permissionNotGiven = EtcdError(code: .invalidArgument, text: "etcdserver: permission not given")
    package static let roleNotGranted = EtcdError(
        code: .failedPrecondition, text: "etcdserver: role is not granted to the user")
    package static let permissionNotGranted = EtcdError(
        code: .failedPrecondition, text: "etcdserver: permission is not granted to the role")

    // MARK: The cluster

    package static let noLeader = EtcdError(code: .unavailable, text: "etcdserver: no leader")
    package static let notLeader = EtcdError(code: .failedPrecondition, text: "etcdserver: not leader")
    package static let leaderChanged = EtcdError(code: .unavailable, text: "etcdserver: leader changed")
    package static let notCapable = EtcdError(code: .failedPrecondition, text: "etcdserver: not capable")
    package static let stopped = EtcdError(code: .unavailable, text: "etcdserver: server stopped")
    package static let timeout = EtcdError(code: .unavailable, text: "etcdserver: request timed out")
    package static let timeoutDueToLeaderFail = EtcdError(
        code: .unavailable, text: "etcdserver: request timed out, possibly due to previous leader failure")
    package static let timeoutDueToConnectionLost = EtcdError(
        code: .unavailable, text: "etcdserver: request timed out, possibly due to connection lost")
    package static let timeoutWaitAppliedIndex = EtcdError(
        code: .unavailable, text: "etcdserver: request timed out, waiting for the applied index took too long")
    package static let unhealthy = EtcdError(code: .unavailable, text: "etcdserver: unhealthy cluster")
    package static let corrupt = EtcdError(code: .dataLoss, text: "etcdserver: corrupt cluster")
    package static let notSupportedForLearner = EtcdError(
        code: .failedPrecondition, text: "etcdserver: rpc not supported for learner")
    package static let badLeaderTransferee = EtcdError(code: .failedPrecondition, text: "etcdserver: bad leader transferee")

    // MARK: Downgrades

    package static let wrongDowngradeVersionFormat = EtcdError(
        code: .invalidArgument, text: "etcdserver: wrong downgrade target version format")
    package static let invalidDowngradeTargetVersion = EtcdError(
        code: .invalidArgument, text: "etcdserver: invalid downgrade target version")
    package static let clusterVersionUnavailable = EtcdError(
        code: .failedPrecondition, text: "etcdserver: cluster version not found during downgrade")
    package static let downgradeInProcess = EtcdError(
        code: .failedPrecondition, text: "etcdserver: cluster has a downgrade job in progress")
    package static let noInflightDowngrade = EtcdError(code: .failedPrecondition, text: "etcdserver: no inflight downgrade job")

    // MARK: The call

    package static let canceled = EtcdError(code: .canceled, text: "etcdserver: request canceled")
    package static let deadlineExceeded = EtcdError(code: .deadlineExceeded, text: "etcdserver: context deadline exceeded")
}
