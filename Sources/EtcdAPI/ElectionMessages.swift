// Owns: the messages of the service Election.
package import Bytes

/// What proves leadership.
package struct LeaderKey: WireMessage {
    package var name = ByteString()
    /// Exists as long as its candidate leads.
    package var key = ByteString()
    /// The key's create revision.
    package var rev: Revision = 0
    package var lease: LeaseID = 0

    package init() {}

    package init(name: ByteString = ByteString(), key: ByteString = ByteString(), rev: Revision = 0, lease: LeaseID = 0) {
        self.name = name
        self.key = key
        self.rev = rev
        self.lease = lease
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): name = try reader.byteString(bytes)
            case (2, .bytes): key = try reader.byteString(bytes)
            case (3, .varint): rev = try reader.int64(bytes)
            case (4, .varint): lease = try reader.int64(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, name)
        writer.appendBytes(2, key)
        writer.appendInt64(3, rev)
        writer.appendInt64(4, lease)
    }
}

/// Asks to lead; the answer comes when the candidate does.
package struct CampaignRequest: WireMessage {
    /// The prefix of the candidates' keys.
    package var name = ByteString()
    /// The candidate's lease, 0 for a new one of a minute.
    package var lease: LeaseID = 0
    /// What observers are told.
    package var value = ByteString()

    package init() {}

    package init(name: ByteString = ByteString(), lease: LeaseID = 0, value: ByteString = ByteString()) {
        self.name = name
        self.lease = lease
        self.value = value
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): name = try reader.byteString(bytes)
            case (2, .varint): lease = try reader.int64(bytes)
            case (3, .bytes): value = try reader.byteString(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, name)
        writer.appendInt64(2, lease)
        writer.appendBytes(3, value)
    }
}

package struct CampaignResponse: WireMessage {
    package var header: ResponseHeader?
    package var leader: LeaderKey?

    package init() {}

    package init(header: ResponseHeader? = nil, leader: LeaderKey? = nil) {
        self.header = header
        self.leader = leader
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .bytes): try reader.merge(bytes, into: &leader)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendMessage(2, leader)
    }
}

/// Asks who leads, once or from now on.
package struct LeaderRequest: WireMessage {
    package var name = ByteString()

    package init() {}

    package init(name: ByteString = ByteString()) {
        self.name = name
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): name = try reader.byteString(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, name)
    }
}

package struct LeaderResponse: WireMessage {
    package var header: ResponseHeader?
    /// The leader's key, and what it proclaims.
    package var kv: KeyValue?

    package init() {}

    package init(header: ResponseHeader? = nil, kv: KeyValue? = nil) {
        self.header = header
        self.kv = kv
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .bytes): try reader.merge(bytes, into: &kv)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendMessage(2, kv)
    }
}

package struct ResignRequest: WireMessage {
    package var leader: LeaderKey?

    package init() {}

    package init(leader: LeaderKey? = nil) {
        self.leader = leader
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &leader)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, leader)
    }
}

package struct ResignResponse: WireMessage {
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

/// Gives the leader's key another value.
package struct ProclaimRequest: WireMessage {
    package var leader: LeaderKey?
    package var value = ByteString()

    package init() {}

    package init(leader: LeaderKey? = nil, value: ByteString = ByteString()) {
        self.leader = leader
        self.value = value
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &leader)
            case (2, .bytes): value = try reader.byteString(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, leader)
        writer.appendBytes(2, value)
    }
}

package struct ProclaimResponse: WireMessage {
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
