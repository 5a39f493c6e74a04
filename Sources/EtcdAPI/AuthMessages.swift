// Owns: the messages of the service Auth that switch it, say how it stands and hand out tokens.
package import Bytes

/// From here on every call is judged by who makes it.
package struct AuthEnableRequest: WireMessage {
    package init() {}

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) { try reader.skip(bytes, tag) }
    }

    package func encode(into writer: inout ByteWriter) {}
}

package struct AuthEnableResponse: WireMessage {
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

/// Ends all judging, and every token.
package struct AuthDisableRequest: WireMessage {
    package init() {}

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) { try reader.skip(bytes, tag) }
    }

    package func encode(into writer: inout ByteWriter) {}
}

package struct AuthDisableResponse: WireMessage {
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

package struct AuthStatusRequest: WireMessage {
    package init() {}

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) { try reader.skip(bytes, tag) }
    }

    package func encode(into writer: inout ByteWriter) {}
}

package struct AuthStatusResponse: WireMessage {
    package var header: ResponseHeader?
    package var enabled = false
    /// Counts the changes of users, roles and their permissions.
    package var authRevision: UInt64 = 0

    package init() {}

    package init(header: ResponseHeader? = nil, enabled: Bool = false, authRevision: UInt64 = 0) {
        self.header = header
        self.enabled = enabled
        self.authRevision = authRevision
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .varint): enabled = try reader.bool(bytes)
            case (3, .varint): authRevision = try reader.varint(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendBool(2, enabled)
        writer.appendUInt64(3, authRevision)
    }
}

/// Asks for a token.
package struct AuthenticateRequest: WireMessage {
    package var name = ByteString()
    package var password = ByteString()

    package init() {}

    package init(name: ByteString = ByteString(), password: ByteString = ByteString()) {
        self.name = name
        self.password = password
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): name = try reader.text(bytes)
            case (2, .bytes): password = try reader.text(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, name)
        writer.appendBytes(2, password)
    }
}

package struct AuthenticateResponse: WireMessage {
    package var header: ResponseHeader?
    /// To be sent with later calls, as the metadata `token`.
    package var token = ByteString()

    package init() {}

    package init(header: ResponseHeader? = nil, token: ByteString = ByteString()) {
        self.header = header
        self.token = token
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .bytes): token = try reader.text(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendBytes(2, token)
    }
}
