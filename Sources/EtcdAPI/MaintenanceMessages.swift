// Owns: Maintenance.Defragment, Hash, HashKV, Snapshot and MoveLeader.
package import Bytes

package struct DefragmentRequest: WireMessage {
    package init() {}

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) { try reader.skip(bytes, tag) }
    }

    package func encode(into writer: inout ByteWriter) {}
}

package struct DefragmentResponse: WireMessage {
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

/// Asks for a hash of the whole store.
package struct HashRequest: WireMessage {
    package init() {}

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) { try reader.skip(bytes, tag) }
    }

    package func encode(into writer: inout ByteWriter) {}
}

package struct HashResponse: WireMessage {
    package var header: ResponseHeader?
    package var hash: UInt32 = 0

    package init() {}

    package init(header: ResponseHeader? = nil, hash: UInt32 = 0) {
        self.header = header
        self.hash = hash
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .varint): hash = try reader.uint32(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendUInt64(2, UInt64(hash))
    }
}

/// Asks for a hash of keys and values up to a revision.
package struct HashKVRequest: WireMessage {
    /// 0 for the current one.
    package var revision: Revision = 0

    package init() {}

    package init(revision: Revision = 0) {
        self.revision = revision
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): revision = try reader.int64(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendInt64(1, revision)
    }
}

package struct HashKVResponse: WireMessage {
    package var header: ResponseHeader?
    package var hash: UInt32 = 0
    /// The revision that hashing started after.
    package var compactRevision: Revision = 0
    /// The revision that was hashed up to.
    package var hashRevision: Revision = 0

    package init() {}

    package init(header: ResponseHeader? = nil, hash: UInt32 = 0, compactRevision: Revision = 0, hashRevision: Revision = 0) {
        self.header = header
        self.hash = hash
        self.compactRevision = compactRevision
        self.hashRevision = hashRevision
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .varint): hash = try reader.uint32(bytes)
            case (3, .varint): compactRevision = try reader.int64(bytes)
            case (4, .varint): hashRevision = try reader.int64(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendUInt64(2, UInt64(hash))
        writer.appendInt64(3, compactRevision)
        writer.appendInt64(4, hashRevision)
    }
}

package struct SnapshotRequest: WireMessage {
    package init() {}

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) { try reader.skip(bytes, tag) }
    }

    package func encode(into writer: inout ByteWriter) {}
}

/// A piece of a snapshot.
package struct SnapshotResponse: WireMessage {
    package var header: ResponseHeader?
    /// Bytes of blob in the responses that follow.
    package var remainingBytes: UInt64 = 0
    package var blob = ByteString()
    /// The storage version of the snapshot.
    package var version = ByteString()

    package init() {}

    package init(
        header: ResponseHeader? = nil, remainingBytes: UInt64 = 0, blob: ByteString = ByteString(),
        version: ByteString = ByteString()
    ) {
        self.header = header
        self.remainingBytes = remainingBytes
        self.blob = blob
        self.version = version
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .varint): remainingBytes = try reader.varint(bytes)
            case (3, .bytes): blob = try reader.byteString(bytes)
            case (4, .bytes): version = try reader.text(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendUInt64(2, remainingBytes)
        writer.appendBytes(3, blob)
        writer.appendBytes(4, version)
    }
}

package struct MoveLeaderRequest: WireMessage {
    /// The member to become leader.
    package var targetID: UInt64 = 0

    package init() {}

    package init(targetID: UInt64 = 0) {
        self.targetID = targetID
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): targetID = try reader.varint(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendUInt64(1, targetID)
    }
}

package struct MoveLeaderResponse: WireMessage {
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
