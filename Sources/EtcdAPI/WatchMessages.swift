// Owns: Watch.Watch but for the union of what a client may send.
package import Bytes

/// Starts a watch.
package struct WatchCreateRequest: WireMessage {
    package struct FilterType: WireEnum {
        package var rawValue: Int32

        @inlinable package init(rawValue: Int32) { self.rawValue = rawValue }

        @inlinable package static var noPut: Self { Self(rawValue: 0) }
        @inlinable package static var noDelete: Self { Self(rawValue: 1) }
    }

    package var key = ByteString()
    /// As in RangeRequest.
    package var rangeEnd = ByteString()
    /// The first revision whose events are wanted; 0 for those after now.
    package var startRevision: Revision = 0
    /// Send an empty response now and then while there are no events.
    package var progressNotify = false
    /// Events not to send.
    package var filters: [FilterType] = []
    /// Send the state before each change too.
    package var prevKV = false
    /// The id to use, unique in the stream; 0 to be given one.
    package var watchID: WatchID = 0
    /// The events of one revision may be split over many responses.
    package var fragment = false

    package init() {}

    package init(
        key: ByteString = ByteString(), rangeEnd: ByteString = ByteString(), startRevision: Revision = 0,
        progressNotify: Bool = false, filters: [FilterType] = [], prevKV: Bool = false, watchID: WatchID = 0,
        fragment: Bool = false
    ) {
        self.key = key
        self.rangeEnd = rangeEnd
        self.startRevision = startRevision
        self.progressNotify = progressNotify
        self.filters = filters
        self.prevKV = prevKV
        self.watchID = watchID
        self.fragment = fragment
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): key = try reader.byteString(bytes)
            case (2, .bytes): rangeEnd = try reader.byteString(bytes)
            case (3, .varint): startRevision = try reader.int64(bytes)
            case (4, .varint): progressNotify = try reader.bool(bytes)
            case (5, .bytes): try reader.appendPacked(bytes, to: &filters)
            case (5, .varint): filters.append(try reader.enumeration(bytes))
            case (6, .varint): prevKV = try reader.bool(bytes)
            case (7, .varint): watchID = try reader.int64(bytes)
            case (8, .varint): fragment = try reader.bool(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, key)
        writer.appendBytes(2, rangeEnd)
        writer.appendInt64(3, startRevision)
        writer.appendBool(4, progressNotify)
        writer.appendPacked(5, filters)
        writer.appendBool(6, prevKV)
        writer.appendInt64(7, watchID)
        writer.appendBool(8, fragment)
    }
}

/// Ends a watch.
package struct WatchCancelRequest: WireMessage {
    package var watchID: WatchID = 0

    package init() {}

    package init(watchID: WatchID = 0) {
        self.watchID = watchID
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): watchID = try reader.int64(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendInt64(1, watchID)
    }
}

/// Asks how far the stream's watches have got.
package struct WatchProgressRequest: WireMessage {
    package init() {}

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) { try reader.skip(bytes, tag) }
    }

    package func encode(into writer: inout ByteWriter) {}
}

/// Events of one watch, or what became of it.
package struct WatchResponse: WireMessage {
    package var header: ResponseHeader?
    /// -1 in the answer to a progress request: all of the stream's watches.
    package var watchID: WatchID = 0
    /// The answer to a create request, before any event.
    package var created = false
    /// The last response of this watch.
    package var canceled = false
    /// Where the start revision is compacted: the first revision that is not.
    package var compactRevision: Revision = 0
    package var cancelReason = ByteString()
    /// More events of the same revision follow in another response.
    package var fragment = false
    package var events: [Event] = []

    package init() {}

    package init(
        header: ResponseHeader? = nil, watchID: WatchID = 0, created: Bool = false, canceled: Bool = false,
        compactRevision: Revision = 0, cancelReason: ByteString = ByteString(), fragment: Bool = false, events: [Event] = []
    ) {
        self.header = header
        self.watchID = watchID
        self.created = created
        self.canceled = canceled
        self.compactRevision = compactRevision
        self.cancelReason = cancelReason
        self.fragment = fragment
        self.events = events
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .varint): watchID = try reader.int64(bytes)
            case (3, .varint): created = try reader.bool(bytes)
            case (4, .varint): canceled = try reader.bool(bytes)
            case (5, .varint): compactRevision = try reader.int64(bytes)
            case (6, .bytes): cancelReason = try reader.text(bytes)
            case (7, .varint): fragment = try reader.bool(bytes)
            case (11, .bytes): try reader.append(bytes, to: &events)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendInt64(2, watchID)
        writer.appendBool(3, created)
        writer.appendBool(4, canceled)
        writer.appendInt64(5, compactRevision)
        writer.appendBytes(6, cancelReason)
        writer.appendBool(7, fragment)
        writer.appendRepeated(11, events)
    }
}
