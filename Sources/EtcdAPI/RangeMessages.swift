// Owns: KV.Range and KV.RangeStream.
package import Bytes

/// Asks for keys with their values.
package struct RangeRequest: WireMessage {
    package struct SortOrder: WireEnum {
        package var rawValue: Int32

        @inlinable package init(rawValue: Int32) { self.rawValue = rawValue }

        /// By key, ascending, where the target is the key; else not sorted.
        @inlinable package static var none: Self { Self(rawValue: 0) }
        @inlinable package static var ascend: Self { Self(rawValue: 1) }
        @inlinable package static var descend: Self { Self(rawValue: 2) }
    }

    package struct SortTarget: WireEnum {
        package var rawValue: Int32

        @inlinable package init(rawValue: Int32) { self.rawValue = rawValue }

        @inlinable package static var key: Self { Self(rawValue: 0) }
        @inlinable package static var version: Self { Self(rawValue: 1) }
        @inlinable package static var create: Self { Self(rawValue: 2) }
        @inlinable package static var mod: Self { Self(rawValue: 3) }
        @inlinable package static var value: Self { Self(rawValue: 4) }
    }

    /// The first key.
    package var key = ByteString()
    /// Empty: just `key`. One zero byte: every key from `key` on. Else: the first key not asked for.
    package var rangeEnd = ByteString()
    /// The most keys to answer with; 0 for all.
    package var limit: Int64 = 0
    /// Answer as of this revision; 0 or less for the current one.
    package var revision: Revision = 0
    package var sortOrder: SortOrder = .none
    package var sortTarget: SortTarget = .key
    /// May be answered from what the member knows, without learning where the log ends.
    package var serializable = false
    /// Without the values.
    package var keysOnly = false
    /// Only the count.
    package var countOnly = false
    /// Leaves out keys last changed before this revision; 0 for no bound. The next three likewise.
    package var minModRevision: Revision = 0
    package var maxModRevision: Revision = 0
    package var minCreateRevision: Revision = 0
    package var maxCreateRevision: Revision = 0

    package init() {}

    package init(
        key: ByteString = ByteString(), rangeEnd: ByteString = ByteString(), limit: Int64 = 0, revision: Revision = 0,
        sortOrder: SortOrder = .none, sortTarget: SortTarget = .key, serializable: Bool = false, keysOnly: Bool = false,
        countOnly: Bool = false, minModRevision: Revision = 0, maxModRevision: Revision = 0, minCreateRevision: Revision = 0,
        maxCreateRevision: Revision = 0
    ) {
        self.key = key
        self.rangeEnd = rangeEnd
        self.limit = limit
        self.revision = revision
        self.sortOrder = sortOrder
        self.sortTarget = sortTarget
        self.serializable = serializable
        self.keysOnly = keysOnly
        self.countOnly = countOnly
        self.minModRevision = minModRevision
        self.maxModRevision = maxModRevision
        self.minCreateRevision = minCreateRevision
        self.maxCreateRevision = maxCreateRevision
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): key = try reader.byteString(bytes)
            case (2, .bytes): rangeEnd = try reader.byteString(bytes)
            case (3, .varint): limit = try reader.int64(bytes)
            case (4, .varint): revision = try reader.int64(bytes)
            case (5, .varint): sortOrder = try reader.enumeration(bytes)
            case (6, .varint): sortTarget = try reader.enumeration(bytes)
            case (7, .varint): serializable = try reader.bool(bytes)
            case (8, .varint): keysOnly = try reader.bool(bytes)
            case (9, .varint): countOnly = try reader.bool(bytes)
            case (10, .varint): minModRevision = try reader.int64(bytes)
            case (11, .varint): maxModRevision = try reader.int64(bytes)
            case (12, .varint): minCreateRevision = try reader.int64(bytes)
            case (13, .varint): maxCreateRevision = try reader.int64(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, key)
        writer.appendBytes(2, rangeEnd)
        writer.appendInt64(3, limit)
        writer.appendInt64(4, revision)
        writer.appendEnum(5, sortOrder)
        writer.appendEnum(6, sortTarget)
        writer.appendBool(7, serializable)
        writer.appendBool(8, keysOnly)
        writer.appendBool(9, countOnly)
        writer.appendInt64(10, minModRevision)
        writer.appendInt64(11, maxModRevision)
        writer.appendInt64(12, minCreateRevision)
        writer.appendInt64(13, maxCreateRevision)
    }
}

/// The keys that were found.
package struct RangeResponse: WireMessage {
    package var header: ResponseHeader?
    package var kvs: [KeyValue] = []
    /// The limit cut some off.
    package var more = false
    /// How many keys there are in the range, whatever the limit.
    package var count: Int64 = 0

    package init() {}

    package init(header: ResponseHeader? = nil, kvs: [KeyValue] = [], more: Bool = false, count: Int64 = 0) {
        self.header = header
        self.kvs = kvs
        self.more = more
        self.count = count
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .bytes): try reader.append(bytes, to: &kvs)
            case (3, .varint): more = try reader.bool(bytes)
            case (4, .varint): count = try reader.int64(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendRepeated(2, kvs)
        writer.appendBool(3, more)
        writer.appendInt64(4, count)
    }
}

/// A piece of a range's answer. The pieces merge into one answer: the header, `more` and `count` come with the last.
package struct RangeStreamResponse: WireMessage {
    package var rangeResponse: RangeResponse?

    package init() {}

    package init(rangeResponse: RangeResponse? = nil) {
        self.rangeResponse = rangeResponse
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &rangeResponse)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, rangeResponse)
    }
}
