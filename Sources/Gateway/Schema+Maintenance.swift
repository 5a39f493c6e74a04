// Owns: the fields of the messages about members, alarms and upkeep.

extension Schema {
    static let maintenanceMessages: [Message] = [
        Message(
            "Member",
            [
                Field("ID", 1, .uint64),
                Field("name", 2, .string),
                Field("peerURLs", 3, .string, isRepeated: true),
                Field("clientURLs", 4, .string, isRepeated: true),
                Field("isLearner", 5, .bool),
            ]),
        Message("MemberAddRequest", [Field("peerURLs", 1, .string, isRepeated: true), Field("isLearner", 2, .bool)]),
        Message(
            "MemberAddResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("member", 2, .message("Member")),
                Field("members", 3, .message("Member"), isRepeated: true),
            ]),
        Message("MemberRemoveRequest", [Field("ID", 1, .uint64)]),
        Message(
            "MemberRemoveResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("members", 2, .message("Member"), isRepeated: true),
            ]),
        Message("MemberUpdateRequest", [Field("ID", 1, .uint64), Field("peerURLs", 2, .string, isRepeated: true)]),
        Message(
            "MemberUpdateResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("members", 2, .message("Member"), isRepeated: true),
            ]),
        Message("MemberListRequest", [Field("linearizable", 1, .bool)]),
        Message(
            "MemberListResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("members", 2, .message("Member"), isRepeated: true),
            ]),
        Message("MemberPromoteRequest", [Field("ID", 1, .uint64)]),
        Message(
            "MemberPromoteResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("members", 2, .message("Member"), isRepeated: true),
            ]),
        Message("StatusRequest", []),
        Message(
            "StatusResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("version", 2, .string),
                Field("dbSize", 3, .int64),
                Field("leader", 4, .uint64),
                Field("raftIndex", 5, .uint64),
                Field("raftTerm", 6, .uint64),
                Field("raftAppliedIndex", 7, .uint64),
                Field("errors", 8, .string, isRepeated: true),
                Field("dbSizeInUse", 9, .int64),
                Field("isLearner", 10, .bool),
                Field("storageVersion", 11, .string),
                Field("dbSizeQuota", 12, .int64),
                Field("downgradeInfo", 13, .message("DowngradeInfo")),
            ]),
        Message("DowngradeInfo", [Field("enabled", 1, .bool), Field("targetVersion", 2, .string)]),
        Message(
            "AlarmRequest",
            [
                Field("action", 1, .enumeration(["GET", "ACTIVATE", "DEACTIVATE"])),
                Field("memberID", 2, .uint64),
                Field("alarm", 3, .enumeration(["NONE", "NOSPACE", "CORRUPT"])),
            ]),
        Message("AlarmMember", [Field("memberID", 1, .uint64), Field("alarm", 2, .enumeration(["NONE", "NOSPACE", "CORRUPT"]))]),
        Message(
            "AlarmResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("alarms", 2, .message("AlarmMember"), isRepeated: true),
            ]),
        Message(
            "DowngradeRequest",
            [
                Field("action", 1, .enumeration(["VALIDATE", "ENABLE", "CANCEL"])),
                Field("version", 2, .string),
            ]),
        Message("DowngradeResponse", [Field("header", 1, .message("ResponseHeader")), Field("version", 2, .string)]),
        Message("DefragmentRequest", []),
        Message("DefragmentResponse", [Field("header", 1, .message("ResponseHeader"))]),
        Message("HashRequest", []),
        Message("HashResponse", [Field("header", 1, .message("ResponseHeader")), Field("hash", 2, .uint32)]),
        Message("HashKVRequest", [Field("revision", 1, .int64)]),
        Message(
            "HashKVResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("hash", 2, .uint32),
                Field("compact_revision", 3, .int64),
                Field("hash_revision", 4, .int64),
            ]),
        Message("SnapshotRequest", []),
        Message(
            "SnapshotResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("remaining_bytes", 2, .uint64),
                Field("blob", 3, .bytes),
                Field("version", 4, .string),
            ]),
        Message("MoveLeaderRequest", [Field("targetID", 1, .uint64)]),
        Message("MoveLeaderResponse", [Field("header", 1, .message("ResponseHeader"))]),
    ]
}
