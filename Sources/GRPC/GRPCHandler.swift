// Owns: what a server of calls must be able to hear.
package import Bytes
package import Calls

/// The services of one event loop. Everything is called on that loop; nothing may block.
///
/// A call that was handed over ends in one of two ways: the handler finishes it (`respond`, `finish`), after which it
/// hears nothing more of it; or `callCancelled` comes, after which whatever it does with the call does nothing.
package protocol GRPCHandler: AnyObject {
    /// A bidirectional call began; its messages follow. (The others begin with their message.)
    func callStarted(_ call: CallID, method: MethodIndex)
    /// A message came. On a unary or server-streaming call it is the only one, and the client is done.
    func messageReceived(_ call: CallID, method: MethodIndex, message: ByteString)
    /// The client of a bidirectional call sends no more.
    func inputEnded(_ call: CallID, method: MethodIndex)
    /// The client gave up, is gone, or its deadline passed: work for this call must stop.
    func callCancelled(_ call: CallID)
    /// After `send` returned false: the queue is short enough again.
    func callWritable(_ call: CallID)
    /// Comes once a turn of the loop in which any of the above came: the time to hand over what was collected.
    func turnEnded()
    /// The server stops: calls that never end of their own must be finished now.
    func shutdownBegan()
}
