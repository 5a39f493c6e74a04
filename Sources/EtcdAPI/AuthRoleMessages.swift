// Owns: the messages of the service Auth about roles.
package import Bytes

/// Makes a role without permissions.
package struct AuthRoleAddRequest: WireMessage {
    package var name = ByteString()

    package init() {}

    package init(name: ByteString = ByteString()) {
        self.name = name
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): name = try reader.text(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, name)
    }
}

package struct AuthRoleAddResponse: WireMessage {
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

package struct AuthRoleGetRequest: WireMessage {
    package var role = ByteString()

    package init() {}

    package init(role: ByteString = ByteString()) {
        self.role = role
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): role = try reader.text(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, role)
    }
}

package struct AuthRoleGetResponse: WireMessage {
    package var header: ResponseHeader?
    package var perm: [Permission] = []

    package init() {}

    package init(header: ResponseHeader? = nil, perm: [Permission] = []) {
        self.header = header
        self.perm = perm
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .bytes): try reader.append(bytes, to: &perm)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendRepeated(2, perm)
    }
}

package struct AuthRoleListRequest: WireMessage {
    package init() {}

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) { try reader.skip(bytes, tag) }
    }

    package func encode(into writer: inout ByteWriter) {}
}

package struct AuthRoleListResponse: WireMessage {
    package var header: ResponseHeader?
    /// Ascending.
    package var roles: [ByteString] = []

    package init() {}

    package init(header: ResponseHeader? = nil, roles: [ByteString] = []) {
        self.header = header
        self.roles = roles
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .bytes): roles.append(try reader.text(bytes))
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendRepeated(2, roles)
    }
}

/// Takes it from the users who have it, too.
package struct AuthRoleDeleteRequest: WireMessage {
    package var role = ByteString()

    package init() {}

    package init(role: ByteString = ByteString()) {
        self.role = role
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): role = try reader.text(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, role)
    }
}

package struct AuthRoleDeleteResponse: WireMessage {
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

package struct AuthRoleGrantPermissionRequest: WireMessage {
    package var name = ByteString()
    package var perm: Permission?

    package init() {}

    package init(name: ByteString = ByteString(), perm: Permission? = nil) {
        self.name = name
        self.perm = perm
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): name = try reader.text(bytes)
            case (2, .bytes): try reader.merge(bytes, into: &perm)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, name)
        writer.appendMessage(2, perm)
    }
}

package struct AuthRoleGrantPermissionResponse: WireMessage {
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

package struct AuthRoleRevokePermissionRequest: WireMessage {
    package var role = ByteString()
    package var key = ByteString()
    package var rangeEnd = ByteString()

    package init() {}

    package init(role: ByteString = ByteString(), key: ByteString = ByteString(), rangeEnd: ByteString = ByteString()) {
        self.role = role
        self.key = key
        self.rangeEnd = rangeEnd
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): role = try reader.text(bytes)
            case (2, .bytes): key = try reader.byteString(bytes)
            case (3, .bytes): rangeEnd = try reader.byteString(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, role)
        writer.appendBytes(2, key)
        writer.appendBytes(3, rangeEnd)
    }
}

package struct AuthRoleRevokePermissionResponse: WireMessage {
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
