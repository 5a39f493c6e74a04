// Owns: calling an etcd or a Pine from tests: unary calls, streams, deadlines.
// Must never: try again by itself, or turn one outcome into another: tests judge what really happened.
package import Bytes
package import EtcdAPI
internal import Foundation

/// A client with one connection of its own, made by `init` and never made anew. Any thread may call, many at once; each call
/// blocks its thread. The connection ends with the object and its last stream.
package final class EtcdClient: Sendable {
    fileprivate let connection: EtcdConnection

    /// How long a call waits where the caller doesn't say.
    package static let defaultTimeout = Duration.seconds(20)

    /// `windowSize`: what the server may send on a stream that nobody reads, in bytes.
    package init(port: Int, host: String = "127.0.0.1", windowSize: Int32 = 8 << 20) throws(EtcdClientError) {
        connection = try EtcdConnection(host: host, port: port, windowSize: windowSize)
    }

    deinit { connection.close() }

    /// Whether calls can still be made: false once the connection has ended or the server has said that it will.
    package var isConnected: Bool { connection.lost == nil }

    // MARK: Calls of one answer

    /// Sends `request` and waits for the answer.
    package func call<Answer: WireMessage>(
        _ method: EtcdMethod, _ request: some WireMessage, answer: Answer.Type = Answer.self,
        timeout: Duration = defaultTimeout
    ) throws(EtcdClientError) -> Answer {
        let stream: EtcdStream<Answer> = try open(method)
        stream.send(request)
        stream.finishSending()
        do throws(EtcdClientError) {
            let deadline = Date(timeIntervalSinceNow: timeout.seconds)
            guard let answer = try stream.receive(until: deadline) else { throw .malformed("no message, status OK") }
            guard try stream.receive(until: deadline) == nil else { throw .malformed("a second message") }
            return answer
        } catch {
            if error == .deadlinePassed { stream.cancel() }
            throw error
        }
    }

    package func range(_ request: RangeRequest) throws(EtcdClientError) -> RangeResponse { try call(.range, request) }

    package func get(_ key: ByteString) throws(EtcdClientError) -> RangeResponse { try range(RangeRequest(key: key)) }

    package func put(_ request: PutRequest) throws(EtcdClientError) -> PutResponse { try call(.put, request) }

    package func put(_ key: ByteString, _ value: ByteString) throws(EtcdClientError) -> PutResponse {
        try put(PutRequest(key: key, value: value))
    }

    package func delete(_ request: DeleteRangeRequest) throws(EtcdClientError) -> DeleteRangeResponse {
        try call(.deleteRange, request)
    }

    package func txn(_ request: TxnRequest) throws(EtcdClientError) -> TxnResponse { try call(.txn, request) }

    package func compact(_ revision: Revision, physical: Bool = false) throws(EtcdClientError) -> CompactionResponse {
        try call(.compact, CompactionRequest(revision: revision, physical: physical))
    }

    // MARK: Streams

    /// Starts a call of any kind, with `metadata` beside what every call has. Send what there is to send, then `finishSending`.
    package func open<Answer: WireMessage>(
        _ method: EtcdMethod, answer: Answer.Type = Answer.self, metadata: [(String, String)] = []
    ) throws(EtcdClientError) -> EtcdStream<Answer> {
        EtcdStream(self, try connection.open(method.path, metadata: metadata))
    }

    /// All messages of a server-streaming call.
    package func collect<Answer: WireMessage>(
        _ method: EtcdMethod, _ request: some WireMessage, answer: Answer.Type = Answer.self,
        timeout: Duration = defaultTimeout
    ) throws(EtcdClientError) -> [Answer] {
        let stream: EtcdStream<Answer> = try open(method)
        stream.send(request)
        stream.finishSending()
        let deadline = Date(timeIntervalSinceNow: timeout.seconds)
        var answers: [Answer] = []
        while let answer = try stream.receive(until: deadline) { answers.append(answer) }
        return answers
    }
}

/// A call under way. It is cancelled when the last reference goes.
package final class EtcdStream<Answer: WireMessage>: @unchecked Sendable {
    // Sendable: the call is guarded by its connection's lock.
    private let client: EtcdClient
    private let call: EtcdCall

    fileprivate init(_ client: EtcdClient, _ call: EtcdCall) {
        self.client = client
        self.call = call
    }

    deinit { cancel() }

    package func send(_ message: some WireMessage) { client.connection.send(message.encoded(), on: call) }

    /// Ends our side. What the server still sends can be received.
    package func finishSending() { client.connection.endSending(call) }

    /// The next message; nil where the call ended with status OK. Throws what else it ended with, or `deadlinePassed`, after
    /// which the call still goes on.
    package func receive(timeout: Duration = EtcdClient.defaultTimeout) throws(EtcdClientError) -> Answer? {
        try receive(until: Date(timeIntervalSinceNow: timeout.seconds))
    }

    fileprivate func receive(until deadline: Date) throws(EtcdClientError) -> Answer? {
        guard let bytes = try client.connection.receive(call, until: deadline) else { return nil }
        do throws(DecodeError) {
            return try Answer.decode(bytes)
        } catch {
            throw .malformed("\(Answer.self): \(error)")
        }
    }

    /// Ends the call; `receive` throws `canceled` from now on. Does nothing where it has ended.
    package func cancel() { client.connection.cancel(call) }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
