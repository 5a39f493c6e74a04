// Owns: the messages of the service Cluster.
package import Bytes

/// A process that serves the cluster.
package struct Member: WireMessage {
    package var id: UInt64 = 0
    /// Empty until the member has started.
    package var name = ByteString()
    package var peerURLs: [ByteString] = []
    /// Empty until the member has started.
    package var clientURLs: [ByteString] = []
    package var isLearner = false

    package init() {}

    package init(
        id: UInt64 = 0, name: ByteString = ByteString(), peerURLs: [ByteString] = [], clientURLs: [ByteString] = [],
        isLearner: Bool = false
    ) {
        self.id = id
        self.name = name
        self.peerURLs = peerURLs
        self.clientURLs = clientURLs
        self.isLearner = isLearner
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): id = try reader.varint(bytes)
            case (2, .bytes): name = try reader.text(bytes)
            case (3, .bytes): peerURLs.append(try reader.text(bytes))
            case (4, .bytes): clientURLs.append(try reader.text(bytes))
            case (5, .varint): isLearner = try reader.bool(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendUInt64(1, id)
        writer.appendBytes(2, name)
        writer.appendRepeated(3, peerURLs)
        writer.appendRepeated(4, clientURLs)
        writer.appendBool(5, isLearner)
    }
}

package struct MemberAddRequest: WireMessage {
    package var peerURLs: [ByteString] = []
    package var isLearner = false

    package init() {}

    package init(peerURLs: [ByteString] = [], isLearner: Bool = false) {
        self.peerURLs = peerURLs
        self.isLearner = isLearner
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): peerURLs.append(try reader.text(bytes))
            case (2, .varint): isLearner = try reader.bool(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendRepeated(1, peerURLs)
        writer.appendBool(2, isLearner)
    }
}

package struct MemberAddResponse: WireMessage {
    package var header: ResponseHeader?
    /// The one that was added.
    package var member: Member?
    /// All, with it.
    package var members: [Member] = []

    package init() {}

    package init(header: ResponseHeader? = nil, member: Member? = nil, members: [Member] = []) {
        self.header = header
        self.member = member
        self.members = members
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .bytes): try reader.merge(bytes, into: &member)
            case (3, .bytes): try reader.append(bytes, to: &members)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendMessage(2, member)
        writer.appendRepeated(3, members)
    }
}

package struct MemberRemoveRequest: WireMessage {
    package var id: UInt64 = 0

    package init() {}

    package init(id: UInt64 = 0) {
        self.id = id
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): id = try reader.varint(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendUInt64(1, id)
    }
}

package struct MemberRemoveResponse: WireMessage {
    package var header: ResponseHeader?
    package var members: [Member] = []

    package init() {}

    package init(header: ResponseHeader? = nil, members: [Member] = []) {
        self.header = header
        self.members = members
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .bytes): try reader.append(bytes, to: &members)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendRepeated(2, members)
    }
}

package struct MemberUpdateRequest: WireMessage {
    package var id: UInt64 = 0
    package var peerURLs: [ByteString] = []

    package init() {}

    package init(id: UInt64 = 0, peerURLs: [ByteString] = []) {
        self.id = id
        self.peerURLs = peerURLs
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): id = try reader.varint(bytes)
            case (2, .bytes): peerURLs.append(try reader.text(bytes))
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendUInt64(1, id)
        writer.appendRepeated(2, peerURLs)
    }
}

package struct MemberUpdateResponse: WireMessage {
    package var header: ResponseHeader?
    package var members: [Member] = []

    package init() {}

    package init(header: ResponseHeader? = nil, members: [Member] = []) {
        self.header = header
        self.members = members
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .bytes): try reader.append(bytes, to: &members)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendRepeated(2, members)
    }
}

package struct MemberListRequest: WireMessage {
    /// The list as of now, not as the member knows it.
    package var linearizable = false

    package init() {}

    package init(linearizable: Bool = false) {
        self.linearizable = linearizable
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): linearizable = try reader.bool(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBool(1, linearizable)
    }
}

package struct MemberListResponse: WireMessage {
    package var header: ResponseHeader?
    package var members: [Member] = []

    package init() {}

    package init(header: ResponseHeader? = nil, members: [Member] = []) {
        self.header = header
        self.members = members
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .bytes): try reader.append(bytes, to: &members)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendRepeated(2, members)
    }
}

/// Makes a learner a voting member.
package struct MemberPromoteRequest: WireMessage {
    package var id: UInt64 = 0

    package init() {}

    package init(id: UInt64 = 0) {
        self.id = id
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): id = try reader.varint(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendUInt64(1, id)
    }
}

package struct MemberPromoteResponse: WireMessage {
    package var header: ResponseHeader?
    package var members: [Member] = []

    package init() {}

    package init(header: ResponseHeader? = nil, members: [Member] = []) {
        self.header = header
        self.members = members
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .bytes): try reader.append(bytes, to: &members)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendRepeated(2, members)
    }
}
