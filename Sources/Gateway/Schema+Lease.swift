// Owns: the fields of the messages about leases.

extension Schema {
    static let leaseMessages: [Message] = [
        Message("LeaseGrantRequest", [Field("TTL", 1, .int64), Field("ID", 2, .int64)]),
        Message(
            "LeaseGrantResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("ID", 2, .int64),
                Field("TTL", 3, .int64),
                Field("error", 4, .string),
            ]),
        Message("LeaseRevokeRequest", [Field("ID", 1, .int64)]),
        Message("LeaseRevokeResponse", [Field("header", 1, .message("ResponseHeader"))]),
        Message("LeaseKeepAliveRequest", [Field("ID", 1, .int64)]),
        Message(
            "LeaseKeepAliveResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("ID", 2, .int64),
                Field("TTL", 3, .int64),
            ]),
        Message("LeaseTimeToLiveRequest", [Field("ID", 1, .int64), Field("keys", 2, .bool)]),
        Message(
            "LeaseTimeToLiveResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("ID", 2, .int64),
                Field("TTL", 3, .int64),
                Field("grantedTTL", 4, .int64),
                Field("keys", 5, .bytes, isRepeated: true),
            ]),
        Message("LeaseLeasesRequest", []),
        Message("LeaseStatus", [Field("ID", 1, .int64)]),
        Message(
            "LeaseLeasesResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("leases", 2, .message("LeaseStatus"), isRepeated: true),
            ]),
    ]
}
