// Owns: what every message of the wire API can do, and what a wire enum is.
package import Bytes

/// A protobuf message with a hand-written codec.
///
/// Decoding follows Go's protobuf, which etcd uses: fields that are unknown, or known by another wire type, are skipped; the
/// last of several values of a scalar field wins; a repeated occurrence of a sub-message merges into the first.
package protocol WireMessage: Hashable, Sendable {
    /// The message in which no field is set.
    init()

    /// Reads fields up to the reader's end into this message. `bytes` is the whole input that the reader has a position in.
    mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError)

    /// Writes the fields in the order of their numbers: canonical bytes, those that Go's protobuf writes.
    func encode(into writer: inout ByteWriter)
}

extension WireMessage {
    /// The message that `bytes` holds. Its byte strings are slices of `bytes` and keep that storage alive
    /// (see `ByteString.compacted()`).
    package static func decode(_ bytes: ByteString) throws(DecodeError) -> Self { try decodeGenerically(bytes) }

    /// `decode`, to be compiled for each type that calls it.
    @inline(__always)
    static func decodeGenerically(_ bytes: ByteString) throws(DecodeError) -> Self {
        var message = Self()
        var reader = WireReader(count: bytes.count)
        try message.merge(bytes, &reader)
        return message
    }

    /// The message's bytes, in a buffer of their own.
    package func encoded() -> ByteString {
        var writer = ByteWriter()
        encode(into: &writer)
        return writer.finish()
    }
}

/// An enum of the wire API. Proto3 enums are open: a number without a name survives decoding, so that validation sees it.
package protocol WireEnum: RawRepresentable, Hashable, Sendable where RawValue == Int32 {
    init(rawValue: Int32)
}
