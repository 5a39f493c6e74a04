// Owns: the two sides of a request whose body and answer come in pieces, whichever HTTP is below.
//
// A service begins an exchange and hangs it into the responder, which tells it of the request's body, and by which it answers: at once, or
// piece by piece. Once it has ended its answer, or was cancelled, neither side says anything more.
package import Bytes

/// Takes requests whose answers are more than pages. One on each event loop.
package protocol ExchangeService: AnyObject {
    /// Begins an exchange with `responder`, or answers at once. False: the request is one for a page.
    func begin(_ request: PageRequest, _ responder: any Responder) -> Bool
    /// The server stops: exchanges that never end of their own must be ended now.
    func shutdownBegan()
    /// All exchanges have ended; none will begin.
    func shutdownEnded()
}

/// One request, as the side sees it that answers. Called on the event loop.
package protocol Exchange: AnyObject {
    /// What it keeps of the request, in bytes.
    var keptBytes: Int { get }
    /// A part of the body came; `bytes` is valid during the call only.
    func bodyReceived(_ bytes: UnsafeRawBufferPointer)
    /// The body is complete.
    func bodyEnded()
    /// All connections together keep too much, and this one more than its share: the rest of the body will not be taken.
    func bodyRefused()
    /// After `write` returned false: there is room again.
    func becameWritable()
    /// The client is gone.
    func cancelled()
}

/// The connection's side of an exchange. To be called on the event loop.
package protocol Responder: AnyObject {
    var exchange: (any Exchange)? { get set }
    /// The client's address, for logs.
    var peer: String { get }

    /// Answers at once.
    func respond(status: Int, fields: [PageResponse.Field], body: ByteString)
    /// Begins an answer of unknown length.
    func begin(status: Int, fields: [PageResponse.Field])
    /// Sends a piece, at the next `flush`. False: the client reads more slowly; `becameWritable` follows.
    func write(_ bytes: ByteString) -> Bool
    func flush()
    /// Ends the answer after what was written.
    func end()

    /// Reads no more of the body than has come, before `resumeBody`.
    func pauseBody()
    func resumeBody()
}
