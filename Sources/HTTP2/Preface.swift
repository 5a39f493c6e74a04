// Owns: the one place where the first bytes of a connection are looked at.
internal import CNghttp2

/// What a connection speaks, by its first bytes.
enum Preface: Equatable {
    /// The client connection preface of RFC 9113 section 3.4.
    case http2
    /// So far it could be the preface.
    case incomplete
    /// Anything else: HTTP/1.1, a TLS client on a port without TLS, noise.
    case other

    private static let magic = Array(NGHTTP2_CLIENT_MAGIC.utf8)

    static func examine(_ bytes: UnsafeRawBufferPointer) -> Preface {
        let common = min(bytes.count, magic.count)
        for index in 0..<common where bytes[index] != magic[index] { return .other }
        return common == magic.count ? .http2 : .incomplete
    }
}
