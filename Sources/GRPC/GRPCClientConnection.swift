// Owns: the calls that are under way on one connection to a server.
// Must never: be touched off its event loop, or keep a message longer than its receiver's `messageReceived` lasts.
// Invariant: every call that was started ends with one `callEnded`, after which its receiver hears nothing more of it.
package import Bytes
package import HTTP2
internal import NIOCore

/// Who started a call. `tag` is the number that came with it. Everything is called on the connection's loop.
package protocol GRPCCallReceiver: AnyObject {
    /// A message came; `bytes` is valid during the call only.
    func messageReceived(_ tag: Int, _ bytes: UnsafeRawBufferPointer)
    func callEnded(_ tag: Int, _ status: GRPCStatus)
    /// Asked of a message that has not come whole: whether its pieces are wanted as they come, instead of the whole in the end.
    func takesPieces(_ tag: Int) -> Bool
    /// The next piece of such a message; `bytes` is valid during the call only.
    func pieceReceived(_ tag: Int, _ bytes: UnsafeRawBufferPointer, isLast: Bool)
}

extension GRPCCallReceiver {
    package func takesPieces(_ tag: Int) -> Bool { false }
    package func pieceReceived(_ tag: Int, _ bytes: UnsafeRawBufferPointer, isLast: Bool) {
        violated("nobody asked for pieces")
    }
}

/// The path of a call with all that goes with it, ready to be sent any number of times.
package struct GRPCClientMethod: Sendable {
    let headers: HeaderBlock

    /// `path` is `/package.Service/Method`, `authority` the server's host and port; nil leaves the field out.
    package init(path: String, scheme: String, authority: String?, userAgent: String, metadata: [(name: String, value: String)] = []) {
        headers = HeaderBlock(
            [(":method", "POST"), (":scheme", scheme), (":path", path)] + (authority.map { [(":authority", $0)] } ?? [])
                + [("te", "trailers"), ("content-type", "application/grpc"), ("user-agent", userAgent)] + metadata, isStatic: false)
    }
}

package final class GRPCClientConnection: HTTP2ClientHandler {
    /// What is known of a call. Slots are those of the connection's streams.
    private struct Call {
        var generation: UInt32 = 0
        var receiver: (any GRPCCallReceiver)?
        var tag = 0
        /// The beginning of a message whose end has not come.
        var partial: [UInt8] = []
        /// How much is still to come of a message whose pieces are handed over, in bytes.
        var piecesLeft = 0
        var hasHeaders = false
        /// `grpc-status`, once it has come.
        var code: UInt8?
        var message = ""
        /// Why we gave up on the call.
        var failure: GRPCStatus?
    }

    private static let prefixSize = 5
    /// Room for a message that is kept for the next, in bytes.
    private static let spareLimit = 16 << 20
    private var spare: [UInt8] = []

    package let connection: HTTP2ClientConnection
    private let messageLimit: Int
    private var calls: [Call] = []
    /// Called when the connection is gone, after the last call has ended.
    package var onClose: ((String) -> Void)?

    /// `messageLimit` is in bytes.
    package init(limits: HTTP2Limits, messageLimit: Int) {
        connection = HTTP2ClientConnection(limits: limits)
        self.messageLimit = messageLimit
        connection.handler = self
    }

    // MARK: Calls

    /// Starts a call; nil where the connection takes none any more. The receiver is kept until the call has ended.
    package func start(_ method: borrowing GRPCClientMethod, _ receiver: any GRPCCallReceiver, tag: Int) -> StreamHandle? {
        guard let stream = connection.open(method.headers) else { return nil }
        let slot = Int(stream.slot)
        while calls.count <= slot { calls.append(Call()) }
        calls[slot].generation = stream.generation
        calls[slot].receiver = receiver
        calls[slot].tag = tag
        return stream
    }

    package func send(_ call: StreamHandle, _ message: ByteString) {
        connection.send(call, head: InlineBytes(0, bigEndian: UInt32(message.count)), body: message)
    }

    /// The client sends no more.
    package func end(_ call: StreamHandle) { connection.end(call) }

    /// Starts a call with one message. False where the connection takes none any more.
    package func unary(
        _ method: borrowing GRPCClientMethod, _ message: ByteString, _ receiver: any GRPCCallReceiver, tag: Int
    ) -> Bool {
        guard let call = start(method, receiver, tag: tag) else { return false }
        send(call, message)
        end(call)
        return true
    }

    package func cancel(_ call: StreamHandle) {
        fail(call, GRPCStatus(.cancelled, "context canceled"))
    }

    private func fail(_ stream: StreamHandle, _ status: GRPCStatus) {
        guard isKnown(stream), calls[Int(stream.slot)].failure == nil else { return }
        calls[Int(stream.slot)].failure = status
        connection.reset(stream, .cancel)
    }

    private func isKnown(_ stream: StreamHandle) -> Bool {
        let slot = Int(stream.slot)
        return slot < calls.count && calls[slot].generation == stream.generation && calls[slot].receiver != nil
    }

    // MARK: What comes

    package func headersReceived(_ stream: StreamHandle, fields: HeaderFields, endStream: Bool) {
        guard isKnown(stream) else { return }
        let slot = Int(stream.slot)
        let isFirst = !calls[slot].hasHeaders
        calls[slot].hasHeaders = true
        if isFirst && !endStream {
            // The response's own header block tells no more than that it is one.
            var httpStatus: UnsafeRawBufferPointer?
            fields.visit { name, value in if name.elementsEqual(":status".utf8) { httpStatus = value } }
            guard let httpStatus, !httpStatus.elementsEqual("200".utf8) else { return }
            fail(stream, GRPCStatus(.unknown, "unexpected HTTP status \(String(decoding: httpStatus, as: UTF8.self))"))
            return
        }
        fields.visit { name, value in
            switch name.count {
            case 11 where name.elementsEqual("grpc-status".utf8):
                calls[slot].code = UInt8(String(decoding: value, as: UTF8.self))
            case 12 where name.elementsEqual("grpc-message".utf8):
                calls[slot].message = GRPCStatus.percentDecoded(value)
            default: break
            }
        }
    }

    package func dataReceived(_ stream: StreamHandle, bytes: UnsafeRawBufferPointer, endStream: Bool) {
        let slot = Int(stream.slot)
        guard isKnown(stream), calls[slot].failure == nil else { return }
        if calls[slot].piecesLeft > 0 {
            let taken = min(bytes.count, calls[slot].piecesLeft)
            calls[slot].piecesLeft -= taken
            calls[slot].receiver?.pieceReceived(
                calls[slot].tag, UnsafeRawBufferPointer(rebasing: bytes.prefix(taken)), isLast: calls[slot].piecesLeft == 0)
            if taken == bytes.count || !isKnown(stream) { return }
            dataReceived(stream, bytes: UnsafeRawBufferPointer(rebasing: bytes[taken...]), endStream: endStream)
            return
        }
        if calls[slot].partial.isEmpty {
            let used = handOver(stream, bytes)
            if used < bytes.count, isKnown(stream) { begin(slot, bytes[used...]) }
            return
        }
        calls[slot].partial.append(contentsOf: bytes)
        guard calls[slot].partial.count >= Self.prefixSize else { return }
        // Out of the table while the receiver sees it, who may start calls and so move the table.
        var partial: [UInt8] = []
        swap(&partial, &calls[slot].partial)
        let used = partial.withUnsafeBytes { handOver(stream, $0) }
        guard isKnown(stream) else { return }
        if used == partial.count {
            keep(&partial)
        } else {
            if used > 0 { partial.removeFirst(used) }
            swap(&partial, &calls[slot].partial)
        }
    }

    /// Begins to collect a message that has not come whole.
    private func begin(_ slot: Int, _ bytes: Slice<UnsafeRawBufferPointer>) {
        if bytes.count > Self.prefixSize, calls[slot].failure == nil, let receiver = calls[slot].receiver,
            receiver.takesPieces(calls[slot].tag)
        {
            let rest = UnsafeRawBufferPointer(rebasing: bytes)
            let first = UnsafeRawBufferPointer(rebasing: rest[Self.prefixSize...])
            calls[slot].piecesLeft = Int(UInt32(bigEndian: rest.loadUnaligned(fromByteOffset: 1, as: UInt32.self))) - first.count
            receiver.pieceReceived(calls[slot].tag, first, isLast: false)
            return
        }
        swap(&calls[slot].partial, &spare)
        calls[slot].partial.append(contentsOf: bytes)
        guard bytes.count >= Self.prefixSize else { return }
        // All of its room at once, or as much as a server may claim without having sent it.
        let length = calls[slot].partial.withUnsafeBytes { UInt32(bigEndian: $0.loadUnaligned(fromByteOffset: 1, as: UInt32.self)) }
        calls[slot].partial.reserveCapacity(Self.prefixSize + min(Int(length), Self.spareLimit))
    }

    /// Keeps the room that a message took for the next.
    private func keep(_ room: inout [UInt8]) {
        guard room.capacity <= Self.spareLimit else { return }
        room.removeAll(keepingCapacity: true)
        if room.capacity > spare.capacity { swap(&room, &spare) }
    }

    /// Hands over the messages that `bytes` starts with and returns how many bytes they took.
    private func handOver(_ stream: StreamHandle, _ bytes: UnsafeRawBufferPointer) -> Int {
        let slot = Int(stream.slot)
        var at = 0
        while bytes.count - at >= Self.prefixSize, calls[slot].failure == nil {
            let length = Int(UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: at + 1, as: UInt32.self)))
            guard bytes[at] == 0 else {
                fail(stream, GRPCStatus(.internal, "the server sent a compressed message, which nobody asked for"))
                break
            }
            guard length <= messageLimit else {
                fail(
                    stream,
                    GRPCStatus(.resourceExhausted, "received message larger than max (\(length) vs. \(messageLimit))"))
                break
            }
            let end = at + Self.prefixSize + length
            if end > bytes.count { break }
            let message = UnsafeRawBufferPointer(rebasing: bytes[(at + Self.prefixSize)..<end])
            at = end
            calls[slot].receiver?.messageReceived(calls[slot].tag, message)
        }
        return at
    }

    package func streamClosed(_ stream: StreamHandle, code: UInt32) {
        guard isKnown(stream) else { return }
        let slot = Int(stream.slot)
        let status: GRPCStatus
        if let failure = calls[slot].failure {
            status = failure
        } else if let code = calls[slot].code {
            status =
                code == 0 ? .ok : GRPCStatus(GRPCStatus.Code(rawValue: code) ?? .unknown, calls[slot].message)
        } else {
            status = GRPCStatus(.unavailable, connection.lossReason ?? "the stream ended without a status (HTTP/2 code \(code))")
        }
        let receiver = calls[slot].receiver
        let tag = calls[slot].tag
        calls[slot].receiver = nil
        calls[slot].hasHeaders = false
        calls[slot].code = nil
        calls[slot].failure = nil
        calls[slot].piecesLeft = 0
        if !calls[slot].message.isEmpty { calls[slot].message = "" }
        if calls[slot].partial.capacity > 0 {
            var partial: [UInt8] = []
            swap(&partial, &calls[slot].partial)
            keep(&partial)
        }
        receiver?.callEnded(tag, status)
    }

    package func connectionClosed(_ reason: String) {
        onClose?(reason)
        onClose = nil
    }
}
