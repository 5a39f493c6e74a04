// Owns: a key with its value, and a change of one: package mvccpb.
package import Bytes

/// A key's state as of some revision.
package struct KeyValue: WireMessage {
    package var key = ByteString()
    /// The revision of the put that made the key exist.
    package var createRevision: Revision = 0
    /// The revision of the last change.
    package var modRevision: Revision = 0
    /// How many puts since the key exists, from 1; 0 for a deletion.
    package var version: Int64 = 0
    package var value = ByteString()
    /// The lease that the key goes with; 0 for none.
    package var lease: LeaseID = 0

    package init() {}

    package init(
        key: ByteString = ByteString(), createRevision: Revision = 0, modRevision: Revision = 0, version: Int64 = 0,
        value: ByteString = ByteString(), lease: LeaseID = 0
    ) {
        self.key = key
        self.createRevision = createRevision
        self.modRevision = modRevision
        self.version = version
        self.value = value
        self.lease = lease
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): key = try reader.byteString(bytes)
            case (2, .varint): createRevision = try reader.int64(bytes)
            case (3, .varint): modRevision = try reader.int64(bytes)
            case (4, .varint): version = try reader.int64(bytes)
            case (5, .bytes): value = try reader.byteString(bytes)
            case (6, .varint): lease = try reader.int64(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, key)
        writer.appendInt64(2, createRevision)
        writer.appendInt64(3, modRevision)
        writer.appendInt64(4, version)
        writer.appendBytes(5, value)
        writer.appendInt64(6, lease)
    }
}

/// A change of one key.
package struct Event: WireMessage {
    package struct EventType: WireEnum {
        package var rawValue: Int32

        @inlinable package init(rawValue: Int32) { self.rawValue = rawValue }

        @inlinable package static var put: Self { Self(rawValue: 0) }
        @inlinable package static var delete: Self { Self(rawValue: 1) }
    }

    package var type: EventType = .put
    /// The state after the change. A deletion has only `key` and `mod_revision`.
    package var kv: KeyValue?
    /// The state before, where the watcher asked for it and it is not compacted.
    package var prevKV: KeyValue?

    package init() {}

    package init(type: EventType = .put, kv: KeyValue? = nil, prevKV: KeyValue? = nil) {
        self.type = type
        self.kv = kv
        self.prevKV = prevKV
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): type = try reader.enumeration(bytes)
            case (2, .bytes): try reader.merge(bytes, into: &kv)
            case (3, .bytes): try reader.merge(bytes, into: &prevKV)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendEnum(1, type)
        writer.appendMessage(2, kv)
        writer.appendMessage(3, prevKV)
    }
}
