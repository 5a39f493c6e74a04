// Owns: what is stored of users and roles, in the very bytes in which etcd keeps them (authpb), so that snapshots need no translation.
// Must never: reach a log line, an error or an answer with its password hash; Auth's answers carry permissions and names only.
package import Bytes

package struct UserAddOptions: WireMessage {
    /// The user can't authenticate by password, only by certificate.
    package var noPassword = false

    package init() {}

    package init(noPassword: Bool = false) {
        self.noPassword = noPassword
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): noPassword = try reader.bool(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBool(1, noPassword)
    }
}

package struct User: WireMessage {
    package var name = ByteString()
    /// A bcrypt hash; empty where no password lets the user in.
    package var password = ByteString()
    /// Ascending.
    package var roles: [ByteString] = []
    package var options: UserAddOptions?

    package init() {}

    package init(
        name: ByteString = ByteString(), password: ByteString = ByteString(), roles: [ByteString] = [], options: UserAddOptions? = nil
    ) {
        self.name = name
        self.password = password
        self.roles = roles
        self.options = options
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): name = try reader.byteString(bytes)
            case (2, .bytes): password = try reader.byteString(bytes)
            case (3, .bytes): roles.append(try reader.text(bytes))
            case (4, .bytes): try reader.merge(bytes, into: &options)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, name)
        writer.appendBytes(2, password)
        writer.appendRepeated(3, roles)
        writer.appendMessage(4, options)
    }
}

/// What a role may do with a range of keys.
package struct Permission: WireMessage {
    /// etcd calls it `Type`, which Swift keeps to itself.
    package struct PermissionType: WireEnum {
        package var rawValue: Int32

        @inlinable package init(rawValue: Int32) { self.rawValue = rawValue }

        @inlinable package static var read: Self { Self(rawValue: 0) }
        @inlinable package static var write: Self { Self(rawValue: 1) }
        @inlinable package static var readWrite: Self { Self(rawValue: 2) }
    }

    package var permType: PermissionType = .read
    package var key = ByteString()
    /// As in RangeRequest.
    package var rangeEnd = ByteString()

    package init() {}

    package init(permType: PermissionType = .read, key: ByteString = ByteString(), rangeEnd: ByteString = ByteString()) {
        self.permType = permType
        self.key = key
        self.rangeEnd = rangeEnd
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): permType = try reader.enumeration(bytes)
            case (2, .bytes): key = try reader.byteString(bytes)
            case (3, .bytes): rangeEnd = try reader.byteString(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendEnum(1, permType)
        writer.appendBytes(2, key)
        writer.appendBytes(3, rangeEnd)
    }
}

package struct Role: WireMessage {
    package var name = ByteString()
    /// In the order of their keys.
    package var keyPermission: [Permission] = []

    package init() {}

    package init(name: ByteString = ByteString(), keyPermission: [Permission] = []) {
        self.name = name
        self.keyPermission = keyPermission
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): name = try reader.byteString(bytes)
            case (2, .bytes): try reader.append(bytes, to: &keyPermission)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, name)
        writer.appendRepeated(2, keyPermission)
    }
}
