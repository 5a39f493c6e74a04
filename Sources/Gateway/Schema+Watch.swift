// Owns: the fields of the messages about watches and events.

extension Schema {
    static let watchMessages: [Message] = [
        Message(
            "Event",
            [
                Field("type", 1, .enumeration(["PUT", "DELETE"])),
                Field("kv", 2, .message("KeyValue")),
                Field("prev_kv", 3, .message("KeyValue")),
            ]),
        Message(
            "WatchRequest",
            [
                Field("create_request", 1, .message("WatchCreateRequest"), oneof: "request_union"),
                Field("cancel_request", 2, .message("WatchCancelRequest"), oneof: "request_union"),
                Field("progress_request", 3, .message("WatchProgressRequest"), oneof: "request_union"),
            ]),
        Message(
            "WatchCreateRequest",
            [
                Field("key", 1, .bytes),
                Field("range_end", 2, .bytes),
                Field("start_revision", 3, .int64),
                Field("progress_notify", 4, .bool),
                Field("filters", 5, .enumeration(["NOPUT", "NODELETE"]), isRepeated: true),
                Field("prev_kv", 6, .bool),
                Field("watch_id", 7, .int64),
                Field("fragment", 8, .bool),
            ]),
        Message("WatchCancelRequest", [Field("watch_id", 1, .int64)]),
        Message("WatchProgressRequest", []),
        Message(
            "WatchResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("watch_id", 2, .int64),
                Field("created", 3, .bool),
                Field("canceled", 4, .bool),
                Field("compact_revision", 5, .int64),
                Field("cancel_reason", 6, .string),
                Field("fragment", 7, .bool),
                Field("events", 11, .message("Event"), isRepeated: true),
            ]),
    ]
}
