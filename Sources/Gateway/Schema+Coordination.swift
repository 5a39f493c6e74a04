// Owns: the fields of the messages about locks and elections.

extension Schema {
    static let coordinationMessages: [Message] = [
        Message("LockRequest", [Field("name", 1, .bytes), Field("lease", 2, .int64)]),
        Message("LockResponse", [Field("header", 1, .message("ResponseHeader")), Field("key", 2, .bytes)]),
        Message("UnlockRequest", [Field("key", 1, .bytes)]),
        Message("UnlockResponse", [Field("header", 1, .message("ResponseHeader"))]),
        Message("CampaignRequest", [Field("name", 1, .bytes), Field("lease", 2, .int64), Field("value", 3, .bytes)]),
        Message("CampaignResponse", [Field("header", 1, .message("ResponseHeader")), Field("leader", 2, .message("LeaderKey"))]),
        Message(
            "LeaderKey",
            [
                Field("name", 1, .bytes),
                Field("key", 2, .bytes),
                Field("rev", 3, .int64),
                Field("lease", 4, .int64),
            ]),
        Message("LeaderRequest", [Field("name", 1, .bytes)]),
        Message("LeaderResponse", [Field("header", 1, .message("ResponseHeader")), Field("kv", 2, .message("KeyValue"))]),
        Message("ResignRequest", [Field("leader", 1, .message("LeaderKey"))]),
        Message("ResignResponse", [Field("header", 1, .message("ResponseHeader"))]),
        Message("ProclaimRequest", [Field("leader", 1, .message("LeaderKey")), Field("value", 2, .bytes)]),
        Message("ProclaimResponse", [Field("header", 1, .message("ResponseHeader"))]),
    ]
}
