// Owns: why bytes could not be decoded, and what a client that sent such bytes is told.

/// Why bytes are not a message of the wire API. None of these is a bug of ours: peers may send anything.
package enum DecodeError: Error, Hashable, Sendable {
    /// A field, a length or a varint goes on past the end of the message that it belongs to.
    case truncated
    /// A varint of more than 64 bits.
    case varintOverflow
    /// A tag with field number 0 or above 2^29 - 1, or of a wire type that does not exist.
    case invalidTag
    /// The end of a group that did not begin, or not with this number.
    case unmatchedGroupEnd
    /// A string field that is not UTF-8.
    case invalidUTF8
    /// Messages or groups nested deeper than `WireReader.depthLimit` or `WireReader.groupDepthLimit`.
    case nestedTooDeep
    /// Repeated messages that would take far more memory than the input, see `WireReader.memoryLimit(for:)`.
    case tooManyElements
}

extension DecodeError: CustomStringConvertible {
    /// The text that Go's protobuf has for this class of error, followed by the precise reason.
    package var description: String {
        switch self {
        case .truncated: "proto: cannot parse invalid wire-format data: unexpected end"
        case .varintOverflow: "proto: cannot parse invalid wire-format data: varint of more than 64 bits"
        case .invalidTag: "proto: cannot parse invalid wire-format data: invalid tag"
        case .unmatchedGroupEnd: "proto: cannot parse invalid wire-format data: unmatched end of group"
        case .invalidUTF8: "proto: string field contains invalid UTF-8"
        case .nestedTooDeep: "proto: exceeded maximum recursion depth"
        case .tooManyElements: "proto: too many elements for the size of the message"
        }
    }

    /// What a server answers to a request that could not be decoded, as grpc-go does: INTERNAL.
    ///
    /// Go would decode what is only too deep or too many for us, and etcd would then refuse it for its number of operations,
    /// so that is the answer here too.
    package var status: EtcdError {
        switch self {
        case .nestedTooDeep, .tooManyElements: .tooManyOps
        default: EtcdError(code: .internal, text: "grpc: error unmarshalling request: \(self)")
        }
    }
}
