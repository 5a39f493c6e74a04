// Owns: what is moved at a time, and where it comes from.
internal import Bytes
package import EtcdAPI

/// Some keys in their order, and the leases among them that were not told of before.
package struct Page: Sendable {
    /// With the TTLs that they were granted with.
    package var leases: [LeaseGrantRequest] = []
    package var keys: [KeyValue] = []

    package init(leases: [LeaseGrantRequest] = [], keys: [KeyValue] = []) {
        self.leases = leases
        self.keys = keys
    }
}

/// Something that has all keys of a store at one revision.
package protocol PageSource {
    /// The next keys; nil after the last ones.
    mutating func next() async throws -> Page?
}

/// One line for the operator.
package struct MoveError: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

extension ByteString {
    /// The first key after this one.
    var next: ByteString { ByteString(Array(self) + [0]) }
}
