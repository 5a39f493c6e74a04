// Owns: the messages of gRPC's health service.
package import Bytes

package struct HealthCheckRequest: WireMessage {
    /// Empty for the server as a whole.
    package var service = ByteString()

    package init() {}

    package init(service: ByteString = ByteString()) { self.service = service }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): service = try reader.text(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBytes(1, service)
    }
}

package struct HealthCheckResponse: WireMessage {
    package struct ServingStatus: WireEnum {
        package var rawValue: Int32

        @inlinable package init(rawValue: Int32) { self.rawValue = rawValue }

        @inlinable package static var unknown: Self { Self(rawValue: 0) }
        @inlinable package static var serving: Self { Self(rawValue: 1) }
        @inlinable package static var notServing: Self { Self(rawValue: 2) }
        @inlinable package static var serviceUnknown: Self { Self(rawValue: 3) }
    }

    package var status = ServingStatus.unknown

    package init() {}

    package init(status: ServingStatus) { self.status = status }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): status = try reader.enumeration(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendEnum(1, status)
    }
}
