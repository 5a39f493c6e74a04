// Owns: what the services want of those whose calls they answer: gRPC's loops, and whoever else starts calls.
//
// A caller is confined to one event loop and has `Services` of its own, which it tells what its clients do (`callStarted` and
// `messageReceived` with a method's index, `inputEnded`, `callCancelled`, `callWritable`, then `turnEnded`), and which answer by what is
// declared here. Messages are encoded, without a frame around them.
//
// Invariant: what is done to a call that is over does nothing.
internal import Bytes
internal import Calls
internal import GRPC
internal import NIOCore

protocol Caller: AnyObject {
    /// The top byte of its calls' ids: given to it when the engine gets to know it, and no call is made before. Of the lower bytes bits 32
    /// to 55 are never all set: such ids are what the services ask for themselves.
    var callerIndex: Int { get set }
    var eventLoop: any EventLoop { get }

    /// Ends a call with one message and status OK.
    func respond(_ call: CallID, _ message: ByteString)
    /// Sends one message of many. False: the client reads more slowly; the message is queued, and `Services.callWritable` has to follow.
    func send(_ call: CallID, _ message: ByteString) -> Bool
    /// The same, of a message in pieces, which others' messages may share.
    func send(_ call: CallID, _ parts: [ByteString]) -> Bool
    /// Ends a call, after what was sent.
    func finish(_ call: CallID, _ status: GRPCStatus)

    /// Hands over no more of a bidirectional call's messages before `resumeInput`. Comes from within `Services.messageReceived`.
    func pauseInput(_ call: CallID)
    func resumeInput(_ call: CallID)

    /// Whether the call is still going on.
    func isOpen(_ call: CallID) -> Bool
    /// Whether the client would rather be sent away than be served by a member without a leader.
    func isFlagged(_ call: CallID) -> Bool
    /// What the call's client has shown to say who it is; nil for nothing.
    func credentials(of call: CallID) -> CallCredentials?
    /// The method's path and the client's address, for logs; nil for a call that is over.
    func describe(_ call: CallID) -> (path: String, peer: String)?

    /// Runs `body`, in which any number of calls are answered, and lets it all out at its end.
    func atOnce(_ body: () -> Void)
}

extension GRPCLoop: Caller {}
