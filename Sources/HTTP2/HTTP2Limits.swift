// Owns: the bounds on what one connection may cost us, and their defaults.

/// Bounds of one connection. What a peer does beyond them ends its stream or its connection.
package struct HTTP2Limits: Sendable {
    /// SETTINGS_MAX_CONCURRENT_STREAMS. etcd's default is 2^32-1, which bounds nothing; an idle stream costs us about
    /// 700 bytes, so this many of them 11 MiB.
    package var concurrentStreamsLimit: UInt32 = 16_384
    /// SETTINGS_MAX_HEADER_LIST_SIZE, in the units of RFC 9113 section 6.5.2 (32 bytes a field on top of its text).
    package var headerListSizeLimit = 64 << 10
    /// CONTINUATION frames after one HEADERS frame.
    package var continuationsLimit = 8
    /// How many bytes a peer may send on a stream, and on all streams together, before we give window back.
    package var streamWindowSize: Int32 = 256 << 10
    package var connectionWindowSize: Int32 = 16 << 20
    /// SETTINGS and PING acknowledgements that wait to be sent.
    package var outboundAcknowledgementsLimit = 1_000
    /// Frames of any kind but DATA that wait to be sent, on top of two for each stream.
    package var outboundFramesLimit = 4_096
    /// RST_STREAM frames from the peer, and streams that the peer's mistakes made us reset: so many at once, so many a
    /// second (CVE-2023-44487, CVE-2025-8671). Clients that open and cancel watches in a loop reset hundreds of streams a second.
    package var resetBurstLimit = 2_000
    package var resetsPerSecondLimit = 1_000
    /// Frames that cost the peer little and carry nothing: PING, SETTINGS, WINDOW_UPDATE, empty DATA. Each frame with
    /// content that we send earns the peer another. (nghttp2 skips PRIORITY and unknown frames before we see them: they
    /// cost us no more than their bytes.)
    package var controlFrameBurstLimit = 10_000
    package var controlFramesPerSecondLimit = 2_000
    /// How long a peer may take to send the connection preface, and to read our last words when we close.
    package var prefaceTimeoutMs: Int64 = 10_000
    package var lingerTimeoutMs: Int64 = 2_000
    /// Bytes that a stream may have queued before its owner is asked to wait, and at which it may go on.
    package var outputHighWaterMark = 64 << 10
    package var outputLowWaterMark = 16 << 10
    /// What a connection may keep in memory before its requests have to wait, and at how much of unread answers they go on: answers
    /// that wait to be read, those that are expected, open streams, and input that waits.
    package var connectionKeptHighWaterMark = 64 << 20
    package var connectionKeptLowWaterMark = 32 << 20
    /// The same for all connections together. Above it those that keep more than their share get no new calls; and those whose
    /// clients have not read for `unreadStallMs` are ended, the largest first.
    package var clientBytesLimit = 1 << 30
    package var unreadStallMs: Int64 = 10_000
    /// How large an answer is taken to be that is being made: at first, and at least. In between the connection's own answers tell.
    package var expectedAnswerBytes = 1 << 20
    package var expectedAnswerMinBytes = 32 << 10

    package init() {}
}
