// Owns: the fields of the messages about keys, ranges, writes and transactions.

extension Schema {
    static let kvMessages: [Message] = [
        Message(
            "KeyValue",
            [
                Field("key", 1, .bytes),
                Field("create_revision", 2, .int64),
                Field("mod_revision", 3, .int64),
                Field("version", 4, .int64),
                Field("value", 5, .bytes),
                Field("lease", 6, .int64),
            ]),
        Message(
            "ResponseHeader",
            [
                Field("cluster_id", 1, .uint64),
                Field("member_id", 2, .uint64),
                Field("revision", 3, .int64),
                Field("raft_term", 4, .uint64),
            ]),
        Message(
            "RangeRequest",
            [
                Field("key", 1, .bytes),
                Field("range_end", 2, .bytes),
                Field("limit", 3, .int64),
                Field("revision", 4, .int64),
                Field("sort_order", 5, .enumeration(["NONE", "ASCEND", "DESCEND"])),
                Field("sort_target", 6, .enumeration(["KEY", "VERSION", "CREATE", "MOD", "VALUE"])),
                Field("serializable", 7, .bool),
                Field("keys_only", 8, .bool),
                Field("count_only", 9, .bool),
                Field("min_mod_revision", 10, .int64),
                Field("max_mod_revision", 11, .int64),
                Field("min_create_revision", 12, .int64),
                Field("max_create_revision", 13, .int64),
            ]),
        Message(
            "RangeResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("kvs", 2, .message("KeyValue"), isRepeated: true),
                Field("more", 3, .bool),
                Field("count", 4, .int64),
            ]),
        Message(
            "PutRequest",
            [
                Field("key", 1, .bytes),
                Field("value", 2, .bytes),
                Field("lease", 3, .int64),
                Field("prev_kv", 4, .bool),
                Field("ignore_value", 5, .bool),
                Field("ignore_lease", 6, .bool),
            ]),
        Message("PutResponse", [Field("header", 1, .message("ResponseHeader")), Field("prev_kv", 2, .message("KeyValue"))]),
        Message("DeleteRangeRequest", [Field("key", 1, .bytes), Field("range_end", 2, .bytes), Field("prev_kv", 3, .bool)]),
        Message(
            "DeleteRangeResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("deleted", 2, .int64),
                Field("prev_kvs", 3, .message("KeyValue"), isRepeated: true),
            ]),
        Message("CompactionRequest", [Field("revision", 1, .int64), Field("physical", 2, .bool)]),
        Message("CompactionResponse", [Field("header", 1, .message("ResponseHeader"))]),
        Message(
            "TxnRequest",
            [
                Field("compare", 1, .message("Compare"), isRepeated: true),
                Field("success", 2, .message("RequestOp"), isRepeated: true),
                Field("failure", 3, .message("RequestOp"), isRepeated: true),
            ]),
        Message(
            "TxnResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("succeeded", 2, .bool),
                Field("responses", 3, .message("ResponseOp"), isRepeated: true),
            ]),
        Message(
            "Compare",
            [
                Field("result", 1, .enumeration(["EQUAL", "GREATER", "LESS", "NOT_EQUAL"])),
                Field("target", 2, .enumeration(["VERSION", "CREATE", "MOD", "VALUE", "LEASE"])),
                Field("key", 3, .bytes),
                Field("version", 4, .int64, oneof: "target_union"),
                Field("create_revision", 5, .int64, oneof: "target_union"),
                Field("mod_revision", 6, .int64, oneof: "target_union"),
                Field("value", 7, .bytes, oneof: "target_union"),
                Field("lease", 8, .int64, oneof: "target_union"),
                Field("range_end", 64, .bytes),
            ]),
        Message(
            "RequestOp",
            [
                Field("request_range", 1, .message("RangeRequest"), oneof: "request"),
                Field("request_put", 2, .message("PutRequest"), oneof: "request"),
                Field("request_delete_range", 3, .message("DeleteRangeRequest"), oneof: "request"),
                Field("request_txn", 4, .message("TxnRequest"), oneof: "request"),
            ]),
        Message(
            "ResponseOp",
            [
                Field("response_range", 1, .message("RangeResponse"), oneof: "response"),
                Field("response_put", 2, .message("PutResponse"), oneof: "response"),
                Field("response_delete_range", 3, .message("DeleteRangeResponse"), oneof: "response"),
                Field("response_txn", 4, .message("TxnResponse"), oneof: "response"),
            ]),
    ]
}
