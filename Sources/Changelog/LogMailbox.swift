// Owns: the mailbox of one of the log's threads, which waits on its connection as well.
internal import Mailboxes

typealias LogMailbox<Message: Sendable> = Mailbox<Message, DescriptorBell>

extension Mailbox where Bell == DescriptorBell {
    /// Waits until there is something to take, `socket` is readable (or writable, if `untilWritable`), or `timeout` has passed; nil is
    /// forever. True if the socket is readable.
    func wait(alongside socket: Int32, untilWritable: Bool = false, timeout: Duration?) -> Bool {
        wait(alongside: socket, untilWritable: untilWritable, timeoutMs: timeout?.pollTimeoutMs ?? -1)
    }
}
