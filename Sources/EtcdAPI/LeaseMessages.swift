// Owns: the messages of the service Lease.
package import Bytes

/// Makes a lease.
package struct LeaseGrantRequest: WireMessage {
    /// Seconds to live without a keep-alive.
    package var ttl: Int64 = 0
    /// 0 to be given one.
    package var id: LeaseID = 0

    package init() {}

    package init(ttl: Int64 = 0, id: LeaseID = 0) {
        self.ttl = ttl
        self.id = id
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): ttl = try reader.int64(bytes)
            case (2, .varint): id = try reader.int64(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendInt64(1, ttl)
        writer.appendInt64(2, id)
    }
}

package struct LeaseGrantResponse: WireMessage {
    package var header: ResponseHeader?
    package var id: LeaseID = 0
    /// Seconds granted, which may be more than asked for.
    package var ttl: Int64 = 0
    /// Unused: errors come as a gRPC status.
    package var error = ByteString()

    package init() {}

    package init(header: ResponseHeader? = nil, id: LeaseID = 0, ttl: Int64 = 0, error: ByteString = ByteString()) {
        self.header = header
        self.id = id
        self.ttl = ttl
        self.error = error
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .varint): id = try reader.int64(bytes)
            case (3, .varint): ttl = try reader.int64(bytes)
            case (4, .bytes): error = try reader.text(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendInt64(2, id)
        writer.appendInt64(3, ttl)
        writer.appendBytes(4, error)
    }
}

/// Ends a lease and deletes its keys.
package struct LeaseRevokeRequest: WireMessage {
    package var id: LeaseID = 0

    package init() {}

    package init(id: LeaseID = 0) {
        self.id = id
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): id = try reader.int64(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendInt64(1, id)
    }
}

package struct LeaseRevokeResponse: WireMessage {
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

/// Starts the lease's time anew.
package struct LeaseKeepAliveRequest: WireMessage {
    package var id: LeaseID = 0

    package init() {}

    package init(id: LeaseID = 0) {
        self.id = id
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): id = try reader.int64(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendInt64(1, id)
    }
}

package struct LeaseKeepAliveResponse: WireMessage {
    package var header: ResponseHeader?
    package var id: LeaseID = 0
    /// Seconds from now; 0 where there is no such lease.
    package var ttl: Int64 = 0

    package init() {}

    package init(header: ResponseHeader? = nil, id: LeaseID = 0, ttl: Int64 = 0) {
        self.header = header
        self.id = id
        self.ttl = ttl
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .varint): id = try reader.int64(bytes)
            case (3, .varint): ttl = try reader.int64(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendInt64(2, id)
        writer.appendInt64(3, ttl)
    }
}

package struct LeaseTimeToLiveRequest: WireMessage {
    package var id: LeaseID = 0
    /// Answer with the lease's keys too.
    package var keys = false

    package init() {}

    package init(id: LeaseID = 0, keys: Bool = false) {
        self.id = id
        self.keys = keys
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): id = try reader.int64(bytes)
            case (2, .varint): keys = try reader.bool(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendInt64(1, id)
        writer.appendBool(2, keys)
    }
}

package struct LeaseTimeToLiveResponse: WireMessage {
    package var header: ResponseHeader?
    package var id: LeaseID = 0
    /// Seconds left; -1 where there is no such lease.
    package var ttl: Int64 = 0
    /// Seconds granted.
    package var grantedTTL: Int64 = 0
    package var keys: [ByteString] = []

    package init() {}

    package init(header: ResponseHeader? = nil, id: LeaseID = 0, ttl: Int64 = 0, grantedTTL: Int64 = 0, keys: [ByteString] = []) {
        self.header = header
        self.id = id
        self.ttl = ttl
        self.grantedTTL = grantedTTL
        self.keys = keys
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .varint): id = try reader.int64(bytes)
            case (3, .varint): ttl = try reader.int64(bytes)
            case (4, .varint): grantedTTL = try reader.int64(bytes)
            case (5, .bytes): keys.append(try reader.byteString(bytes))
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendInt64(2, id)
        writer.appendInt64(3, ttl)
        writer.appendInt64(4, grantedTTL)
        writer.appendRepeated(5, keys)
    }
}

/// Lists the leases.
package struct LeaseLeasesRequest: WireMessage {
    package init() {}

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) { try reader.skip(bytes, tag) }
    }

    package func encode(into writer: inout ByteWriter) {}
}

package struct LeaseStatus: WireMessage {
    package var id: LeaseID = 0

    package init() {}

    package init(id: LeaseID = 0) {
        self.id = id
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): id = try reader.int64(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendInt64(1, id)
    }
}

package struct LeaseLeasesResponse: WireMessage {
    package var header: ResponseHeader?
    package var leases: [LeaseStatus] = []

    package init() {}

    package init(header: ResponseHeader? = nil, leases: [LeaseStatus] = []) {
        self.header = header
        self.leases = leases
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .bytes): try reader.append(bytes, to: &leases)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendRepeated(2, leases)
    }
}
