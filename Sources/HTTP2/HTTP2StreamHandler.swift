// Owns: what the user of a loop's streams is told.

/// What lives above the streams of one loop. Everything is called on that loop, between a batch's begin and end.
package protocol HTTP2StreamHandler: AnyObject {
    func connectionOpened(_ connection: HTTP2Connection)
    /// A request's header block is complete. `isTruncated`: it went over the limit, and what came after is missing.
    func headersReceived(
        _ stream: StreamHandle, on connection: HTTP2Connection, fields: HeaderFields, isTruncated: Bool, endStream: Bool)
    /// Data came (`bytes` may be empty where only END_STREAM did). Its share of the connection's window is given back, unless
    /// `HTTP2Connection.withhold` was called; the stream's is given back by `HTTP2Loop.consume`.
    func dataReceived(_ stream: StreamHandle, bytes: UnsafeRawBufferPointer, endStream: Bool)
    /// The queue fell below the low-water mark after it had been over the high one.
    func streamWritable(_ stream: StreamHandle)
    /// There may be room again after `isOverHighWaterMark` was true: the client has read, or fewer answers are expected.
    func connectionWritable(_ connection: HTTP2Connection)
    /// The stream is gone, by both sides' END_STREAM, by RST_STREAM (`code` tells), or with its connection.
    func streamClosed(_ stream: StreamHandle, code: UInt32)
    func connectionClosed(_ connection: HTTP2Connection)
}
