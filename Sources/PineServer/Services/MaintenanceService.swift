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
        .handling(.snapshot, snapshot),
    ]

    @Sendable private static func alarm(_ message: ByteString, _ limits: RequestLimits) throws(EtcdError) -> Request {
        let request: AlarmRequest = try decode(message)
        switch request.action {
        case .get: return .alarms(request.alarm)
        // No alarm can be of no kind, or of one that etcd doesn't know: there is nothing to change, and nothing to tell.
        case .activate where request.alarm == .noSpace || request.alarm == .corrupt:
            return .write(.alarm(AlarmChange(.raise, member: request.memberID, alarm: request.alarm)))
        case .deactivate where request.alarm != .none:
            return .write(.alarm(AlarmChange(.disarm, member: request.memberID, alarm: request.alarm)))
        default: return .alarms(noAlarm)
        }
    }

    @Sendable private static func hashKV(_ message: ByteString, _ limits: RequestLimits) throws(EtcdError) -> Request {
        let hash: HashKVRequest = try decode(message)
        return .hashKV(hash.revision)
    }

    @Sendable private static func snapshot(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let _: SnapshotRequest = try decode(message)
        let members = services.shared.current.members.map { member in
            SnapshotMember(id: UInt64(bitPattern: member.id), name: member.name, clientURLs: member.clientURLs)
        }
        services.ask(call, .snapshot(members: members))
    }

    @Sendable private static func defragment(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        services.shared.noteDefragment()
        services.caller.respond(call, DefragmentResponse(header: services.shared.current.header).encoded())
    }

    @Sendable private static func status(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let _: StatusRequest = try decode(message)
        services.askRevision(call, linearizable: false) { services, revision in
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
