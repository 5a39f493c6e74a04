// Owns: what a replica says to those who ask it: the actions that are about one call.
package import Bytes
package import Calls
package import EtcdAPI
package import Keyspace

/// What is said to one call. It travels as it is from the replica to the caller's services.
package enum Answer: Sendable, Hashable {
    /// The one answer of a unary call: an encoded message.
    case respond(ByteString)
    case fail(EtcdError)
    /// A message on a stream. With `reportDrained`, `streamDrained` must follow once it and all before it have left.
    case send(ByteString, reportDrained: Bool)
    /// The same, of a message in pieces, which others' messages may share.
    case sendParts([ByteString], reportDrained: Bool)
    /// The stream ended well.
    case finish
    /// The answer to `Request.revision`.
    case revision(Revision)
    /// An answer to `Request.auth` that is not the call's. Rare: it must not make the others larger.
    indirect case auth(AuthAnswer)
    /// Something to log: the request took long; its answer follows.
    case slow(SlowRequest)
}

extension Action {
    package static func respond(_ call: CallID, _ message: ByteString) -> Action { .answer(call, .respond(message)) }

    package static func fail(_ call: CallID, _ error: EtcdError) -> Action { .answer(call, .fail(error)) }

    package static func send(_ call: CallID, _ message: ByteString, reportDrained: Bool) -> Action {
        .answer(call, .send(message, reportDrained: reportDrained))
    }

    package static func sendParts(_ call: CallID, _ parts: [ByteString], reportDrained: Bool) -> Action {
        .answer(call, .sendParts(parts, reportDrained: reportDrained))
    }

    package static func finish(_ call: CallID) -> Action { .answer(call, .finish) }

    package static func reportRevision(_ call: CallID, _ revision: Revision) -> Action { .answer(call, .revision(revision)) }

    package static func slow(_ call: CallID, _ request: SlowRequest) -> Action { .answer(call, .slow(request)) }
}
