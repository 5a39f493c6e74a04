// Owns: the messages of the service Auth about users.
package import Bytes

/// Makes a user.
package struct AuthUserAddRequest: WireMessage {
    package var name = ByteString()
    package var password = ByteString()
    package var options: UserAddOptions?
    /// Overwritten by the server: a client's is not used.
    package var hashedPassword = ByteString()

    package init() {}

    package init(
        name: ByteString = ByteString(), password: ByteString = ByteString(), options: UserAddOptions? = nil,
        hashedPassword: ByteString = ByteString()
    ) {
        self.name = name
        self.password = password
        self.options = options
        self.hashedPassword = hashedPassword
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): name = try reader.text(bytes)
            case (2, .bytes): password = try reader.text(bytes)
            case (3, .bytes): try reader.merge(bytes, into: &options)
            case (4, .bytes): hashedPassword = try reader.text(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, name)
        writer.appendBytes(2, password)
        writer.appendMessage(3, options)
        writer.appendBytes(4, hashedPassword)
    }
}

package struct AuthUserAddResponse: WireMessage {
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

package struct AuthUserGetRequest: WireMessage {
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

package struct AuthUserGetResponse: WireMessage {
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

package struct AuthUserListRequest: WireMessage {
    package init() {}

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) { try reader.skip(bytes, tag) }
    }

    package func encode(into writer: inout ByteWriter) {}
}

package struct AuthUserListResponse: WireMessage {
    package var header: ResponseHeader?
    /// Ascending.
    package var users: [ByteString] = []

    package init() {}

    package init(header: ResponseHeader? = nil, users: [ByteString] = []) {
        self.header = header
        self.users = users
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .bytes): users.append(try reader.text(bytes))
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendRepeated(2, users)
    }
}

package struct AuthUserDeleteRequest: WireMessage {
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

package struct AuthUserDeleteResponse: WireMessage {
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

package struct AuthUserChangePasswordRequest: WireMessage {
    package var name = ByteString()
    package var password = ByteString()
    /// Base64 of a bcrypt hash. Used where `password` is empty.
    package var hashedPassword = ByteString()

    package init() {}

    package init(name: ByteString = ByteString(), password: ByteString = ByteString(), hashedPassword: ByteString = ByteString()) {
        self.name = name
        self.password = password
        self.hashedPassword = hashedPassword
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): name = try reader.text(bytes)
            case (2, .bytes): password = try reader.text(bytes)
            case (3, .bytes): hashedPassword = try reader.text(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, name)
        writer.appendBytes(2, password)
        writer.appendBytes(3, hashedPassword)
    }
}

package struct AuthUserChangePasswordResponse: WireMessage {
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

package struct AuthUserGrantRoleRequest: WireMessage {
    package var user = ByteString()
    package var role = ByteString()

    package init() {}

    package init(user: ByteString = ByteString(), role: ByteString = ByteString()) {
        self.user = user
        self.role = role
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): user = try reader.text(bytes)
            case (2, .bytes): role = try reader.text(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, user)
        writer.appendBytes(2, role)
    }
}

package struct AuthUserGrantRoleResponse: WireMessage {
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

package struct AuthUserRevokeRoleRequest: WireMessage {
    package var name = ByteString()
    package var role = ByteString()

    package init() {}

    package init(name: ByteString = ByteString(), role: ByteString = ByteString()) {
        self.name = name
        self.role = role
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): name = try reader.text(bytes)
            case (2, .bytes): role = try reader.text(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, name)
        writer.appendBytes(2, role)
    }
}

package struct AuthUserRevokeRoleResponse: WireMessage {
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
