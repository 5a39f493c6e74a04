// Owns: the Maintenance service: alarms, hashes, and what Status says.
internal import Bytes
internal import Calls
internal import Changelog
internal import EtcdAPI
internal import Keyspace
internal import Replica

enum MaintenanceService {
    static let methods: [ServedMethod] = [
        .handling(.status, answersAreShort: true, status), .asking(.alarm, answersAreShort: true, alarm),
        .handling(.defragment, answersAreShort: true, defragment), .asking(.hashKV, hashKV),
        .asking(.hash, hash), .handling(.snapshot, snapshot), .handling(.moveLeader, answersAreShort: true, moveLeader),
        .handling(.downgrade, answersAreShort: true, downgrade),
    ]

    @Sendable private static func alarm(_ message: ByteString, _ limits: RequestLimits) throws(EtcdError) -> Request {
        let request: AlarmRequest = try decode(message)
        switch request.action {
        case .get: return .alarms(request.alarm, needs: .identity)
        // No alarm can be of no kind, or of one that etcd doesn't know: there is nothing to change, and nothing to tell.
        case .activate where request.alarm == .noSpace || request.alarm == .corrupt:
            return .write(.alarm(AlarmChange(.raise, member: request.memberID, alarm: request.alarm)))
        case .deactivate where request.alarm != .none:
            return .write(.alarm(AlarmChange(.disarm, member: request.memberID, alarm: request.alarm)))
        default: return .alarms(noAlarm, needs: .administration)
        }
    }

    @Sendable private static func hashKV(_ message: ByteString, _ limits: RequestLimits) throws(EtcdError) -> Request {
        let hash: HashKVRequest = try decode(message)
        return .hashKV(hash.revision)
    }

    /// etcd hashes its file, which no two members have alike. What Pine has instead is the hash of all keys.
    @Sendable private static func hash(_ message: ByteString, _ limits: RequestLimits) throws(EtcdError) -> Request {
        let _: HashRequest = try decode(message)
        return .hash
    }

    @Sendable private static func snapshot(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let _: SnapshotRequest = try decode(message)
        let members = services.shared.current.members.map { member in
            SnapshotMember(id: UInt64(bitPattern: member.id), name: member.name, clientURLs: member.clientURLs)
        }
        services.ask(call, .snapshot(members: members))
    }

    /// Every member does what a leader does, so whoever is to lead does so already.
    @Sendable private static func moveLeader(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: MoveLeaderRequest = try decode(message)
        services.askMembers(call) { services, status, _ throws(EtcdError) in
            guard status.hasMember(request.targetID) else { throw .badLeaderTransferee }
            return MoveLeaderResponse().encoded()
        }
    }

    /// The tables have versions of their own, and older ones are never gone back to: no version of etcd can be downgraded to.
    @Sendable private static func downgrade(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: DowngradeRequest = try decode(message)
        services.askMembers(call) { services, status, revision throws(EtcdError) in
            switch request.action {
            case .cancel:
                return DowngradeResponse(header: status.header(at: revision), version: ByteString(Versions.etcdCluster)).encoded()
            default:
                guard request.version.isVersion else { throw .wrongDowngradeVersionFormat }
                throw .invalidDowngradeTargetVersion
            }
        }
    }

    @Sendable private static func defragment(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        services.askRevision(call, linearizable: false, needs: .administration) { services, _ in
            services.shared.noteDefragment()
            // Without a header, as etcd's.
            services.caller.respond(call, DefragmentResponse().encoded())
        }
    }

    @Sendable private static func status(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let _: StatusRequest = try decode(message)
        services.askRevision(call, linearizable: false, needs: .identity) { services, revision in
            let known = services.shared.membership.untilKnown(on: services.caller.eventLoop)
            let quotaBytes = services.quotaBytes
            services.respond(call, after: known) { status in
                StatusResponse(status, header: status.header(at: revision), quotaBytes: quotaBytes).encoded()
            }
        }
    }
}

extension StatusResponse {
    fileprivate init(_ status: ServerStatus, header: ResponseHeader, quotaBytes: Int64) {
        self.init(
            header: header, version: etcdVersion, dbSize: status.databaseBytes, leader: header.memberID,
            raftIndex: UInt64(header.revision.rawValue), raftTerm: header.raftTerm, raftAppliedIndex: UInt64(header.revision.rawValue),
            errors: status.alarms.members(of: .none).map { ByteString("memberID:\($0.memberID) alarm:\($0.alarm.name) ") },
            // What is live is counted, what is on disk measured now and then; PostgreSQL packs large values.
            dbSizeInUse: min(status.liveBytes, status.databaseBytes), storageVersion: etcdStorageVersion, dbSizeQuota: quotaBytes)
    }
}

extension ByteString {
    /// Whether it is `MAJOR.MINOR.PATCH`, with what may follow in semantic versions; the patch may be missing, as etcdctl's users write it.
    fileprivate var isVersion: Bool {
        let core = prefix { $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: "+") }
        let numbers = core.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return (2...3).contains(numbers.count)
            && numbers.allSatisfy { !$0.isEmpty && $0.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } }
    }
}

/// A kind that no alarm has.
private let noAlarm = AlarmType(rawValue: -1)

extension AlarmType {
    fileprivate var name: String {
        switch self {
        case .noSpace: "NOSPACE"
        case .corrupt: "CORRUPT"
        default: "\(rawValue)"
        }
    }
}

private let etcdVersion = ByteString(Versions.etcd)
private let etcdStorageVersion = ByteString(Versions.etcd)
