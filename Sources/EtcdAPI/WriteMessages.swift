// Owns: KV.Put, KV.DeleteRange and KV.Compact.
package import Bytes

/// Gives a key a value.
package struct PutRequest: WireMessage {
    package var key = ByteString()
    package var value = ByteString()
    /// The lease that the key goes with from now on; 0 for none.
    package var lease: LeaseID = 0
    /// Answer with the state before.
    package var prevKV = false
    /// Keep the value; the key must exist and `value` be empty.
    package var ignoreValue = false
    /// Keep the lease; the key must exist and `lease` be 0.
    package var ignoreLease = false

    package init() {}

    package init(
        key: ByteString = ByteString(), value: ByteString = ByteString(), lease: LeaseID = 0, prevKV: Bool = false,
        ignoreValue: Bool = false, ignoreLease: Bool = false
    ) {
        self.key = key
        self.value = value
        self.lease = lease
        self.prevKV = prevKV
        self.ignoreValue = ignoreValue
        self.ignoreLease = ignoreLease
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): key = try reader.byteString(bytes)
            case (2, .bytes): value = try reader.byteString(bytes)
            case (3, .varint): lease = try reader.int64(bytes)
            case (4, .varint): prevKV = try reader.bool(bytes)
            case (5, .varint): ignoreValue = try reader.bool(bytes)
            case (6, .varint): ignoreLease = try reader.bool(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, key)
        writer.appendBytes(2, value)
        writer.appendInt64(3, lease)
        writer.appendBool(4, prevKV)
        writer.appendBool(5, ignoreValue)
        writer.appendBool(6, ignoreLease)
    }
}

package struct PutResponse: WireMessage {
    package var header: ResponseHeader?
    /// The state before, where it was asked for and there was one.
    package var prevKV: KeyValue?

    package init() {}

    package init(header: ResponseHeader? = nil, prevKV: KeyValue? = nil) {
        self.header = header
        self.prevKV = prevKV
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .bytes): try reader.merge(bytes, into: &prevKV)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendMessage(2, prevKV)
    }
}

/// Deletes keys.
package struct DeleteRangeRequest: WireMessage {
    package var key = ByteString()
    /// As in RangeRequest.
    package var rangeEnd = ByteString()
    /// Answer with the states before.
    package var prevKV = false

    package init() {}

    package init(key: ByteString = ByteString(), rangeEnd: ByteString = ByteString(), prevKV: Bool = false) {
        self.key = key
        self.rangeEnd = rangeEnd
        self.prevKV = prevKV
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): key = try reader.byteString(bytes)
            case (2, .bytes): rangeEnd = try reader.byteString(bytes)
            case (3, .varint): prevKV = try reader.bool(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, key)
        writer.appendBytes(2, rangeEnd)
        writer.appendBool(3, prevKV)
    }
}

package struct DeleteRangeResponse: WireMessage {
    package var header: ResponseHeader?
    /// How many keys were deleted.
    package var deleted: Int64 = 0
    package var prevKVs: [KeyValue] = []

    package init() {}

    package init(header: ResponseHeader? = nil, deleted: Int64 = 0, prevKVs: [KeyValue] = []) {
        self.header = header
        self.deleted = deleted
        self.prevKVs = prevKVs
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .varint): deleted = try reader.int64(bytes)
            case (3, .bytes): try reader.append(bytes, to: &prevKVs)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendInt64(2, deleted)
        writer.appendRepeated(3, prevKVs)
    }
}

/// Forgets what was superseded before a revision.
package struct CompactionRequest: WireMessage {
    package var revision: Revision = 0
    /// Answer when the rows are gone, not when the compaction is decided.
    package var physical = false

    package init() {}

    package init(revision: Revision = 0, physical: Bool = false) {
        self.revision = revision
        self.physical = physical
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): revision = try reader.int64(bytes)
            case (2, .varint): physical = try reader.bool(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendInt64(1, revision)
        writer.appendBool(2, physical)
    }
}

package struct CompactionResponse: WireMessage {
    package var header: ResponseHeader?

    package init() {}

    package init(header: ResponseHeader? = nil) {
        self.header = header
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
    }
}
