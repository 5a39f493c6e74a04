// Owns: the Maintenance service of one loop, as far as it takes more than a revision: alarms, and what Status says.
internal import Bytes
internal import EtcdAPI
internal import GRPC
internal import Keyspace
internal import Replica

extension LoopServices {
    func alarm(_ message: ByteString) throws(EtcdError) -> Request {
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

    func statusResponse(_ status: ServerStatus, _ header: ResponseHeader) -> StatusResponse {
        StatusResponse(
            header: header, version: etcdVersion, dbSize: status.databaseBytes, leader: header.memberID,
            raftIndex: UInt64(header.revision), raftTerm: header.raftTerm, raftAppliedIndex: UInt64(header.revision),
            errors: status.alarms.members(of: .none).map { ByteString("memberID:\($0.memberID) alarm:\($0.alarm.name) ") },
            // What is live is counted, what is on disk measured now and then; PostgreSQL packs large values.
            dbSizeInUse: min(status.liveBytes, status.databaseBytes), storageVersion: etcdStorageVersion,
            dbSizeQuota: configuration.quotaBackendBytes)
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
