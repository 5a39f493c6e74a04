// Owns: inflating gzip-compressed messages.
// Must never: produce more than it was allowed to, whatever the input claims.
internal import Bytes
internal import CZlib

enum GzipError: Error, Equatable {
    /// Not gzip, or cut short, or its checksum is wrong.
    case malformed
    /// More than `limit` bytes come out.
    case tooLarge
}

enum Gzip {
    /// Asks zlib for the gzip format (RFC 1952) with the largest window.
    private static let windowBits: Int32 = 15 + 16

    /// What `bytes` decompress to, at most `limit` bytes.
    static func inflated(_ bytes: ByteString, limit: Int) throws(GzipError) -> ByteString {
        var stream = z_stream()
        guard inflateInit2_(&stream, windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw .malformed
        }
        defer { inflateEnd(&stream) }
        var output = ByteWriter(capacity: min(max(bytes.count * 4, 256), limit + 1))
        let failure = bytes.withUnsafeBytes { input -> GzipError? in
            stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
            stream.avail_in = UInt32(input.count)
            return withUnsafeTemporaryAllocation(byteCount: 16 << 10, alignment: 1) { chunk in
                while true {
                    stream.next_out = chunk.baseAddress!.assumingMemoryBound(to: UInt8.self)
                    stream.avail_out = UInt32(chunk.count)
                    let status = inflate(&stream, Z_NO_FLUSH)
                    guard status == Z_OK || status == Z_STREAM_END else { return .malformed }
                    let produced = chunk.count - Int(stream.avail_out)
                    if output.count + produced > limit { return .tooLarge }
                    output.append(UnsafeRawBufferPointer(rebasing: chunk.prefix(produced)))
                    if status == Z_STREAM_END { return stream.avail_in == 0 ? nil : .malformed }
                }
            }
        }
        if let failure { throw failure }
        return output.finish()
    }
}
