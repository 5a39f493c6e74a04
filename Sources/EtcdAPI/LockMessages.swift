// Owns: the messages of the service Lock.
package import Bytes

/// Asks for a lock; the answer comes when it is held.
package struct LockRequest: WireMessage {
    /// The prefix of the keys that queue for the lock.
    package var name = ByteString()
    /// The holder's lease, 0 for a new one of a minute.
    package var lease: LeaseID = 0

    package init() {}

    package init(name: ByteString = ByteString(), lease: LeaseID = 0) {
        self.name = name
        self.lease = lease
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): name = try reader.byteString(bytes)
            case (2, .varint): lease = try reader.int64(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, name)
        writer.appendInt64(2, lease)
    }
}

package struct LockResponse: WireMessage {
    package var header: ResponseHeader?
    /// Exists as long as the lock is held.
    package var key = ByteString()

    package init() {}

    package init(header: ResponseHeader? = nil, key: ByteString = ByteString()) {
        self.header = header
        self.key = key
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .bytes): key = try reader.byteString(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendBytes(2, key)
    }
}

package struct UnlockRequest: WireMessage {
    /// As LockResponse has it.
    package var key = ByteString()

    package init() {}

    package init(key: ByteString = ByteString()) {
        self.key = key
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): key = try reader.byteString(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, key)
    }
}

package struct UnlockResponse: WireMessage {
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
