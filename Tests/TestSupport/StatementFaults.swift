// Owns: speaking just enough of PostgreSQL's protocol to make statements fail on their way to the server.
// Must never: fail a statement that the server then runs nevertheless: a refused statement has no effect.
//
// A statement that is to fail is replaced by one that raises the wanted SQLSTATE, so that the answer is the server's own, with
// everything that goes with it: an open transaction is broken by it, and a pipeline passes over what follows.
internal import NIOCore
internal import Synchronization

/// What fails, of all the statements that pass. Shared by the connections of a proxy.
package final class StatementFaults: Sendable {
    private struct State {
        var random: SeededGenerator
        var share = 0.0
        var counts: [String: Int] = [:]
        var losesPrepared = false
    }

    private let state: Mutex<State>
    /// LISTEN and NOTIFY are answered as servers answer that don't have them.
    private let lacksHints: Bool

    package init(seed: UInt64, lacksHints: Bool) {
        state = Mutex(State(random: SeededGenerator(seed: seed)))
        self.lacksHints = lacksHints
    }

    /// From now on this share of the statements fails, one half with 40001, the other with 40P01.
    package func fail(share: Double) { state.withLock { $0.share = share } }

    /// From now on no prepared statement is there, as behind a pooler that gives each transaction another server connection.
    package func losePrepared() { state.withLock { $0.losesPrepared = true } }

    fileprivate var losesPrepared: Bool { state.withLock { $0.losesPrepared } }

    /// How many statements failed, by SQLSTATE, and how many passed ("").
    package var counts: [String: Int] { state.withLock { $0.counts } }

    package func filter() -> any ProxyFilter { StatementFilter(self) }

    fileprivate func stateToRaise(for text: String) -> String? {
        let folded = text.lowercased()
        return state.withLock { state in
            var raised: String?
            if lacksHints, folded.hasPrefix("listen ") || folded.contains("pg_notify(") {
                raised = "0A000"
            } else if !folded.hasPrefix("begin"), folded != "rollback", state.random.chance(state.share) {
                // No server refuses to begin or to roll back for the sake of others.
                raised = state.random.chance(0.5) ? "40001" : "40P01"
            }
            state.counts[raised ?? "", default: 0] += 1
            return raised
        }
    }
}

private struct StatementFilter: ProxyFilter {
    private let faults: StatementFaults
    private var unread = ByteBuffer()
    private var hasStarted = false
    /// The texts of the statements that this connection has prepared; "" is the unnamed one.
    private var texts: [String: String] = [:]
    /// The statement whose messages are being passed over, having been replaced.
    private var isReplacing = false

    init(_ faults: StatementFaults) { self.faults = faults }

    mutating func filter(_ bytes: ByteBuffer) -> ByteBuffer {
        unread.writeImmutableBuffer(bytes)
        var out = ByteBuffer()
        while !hasStarted, let message = nextMessage(lengthAt: 0) {
            // Protocol 3.0; requests for encryption, which come before, have other codes.
            hasStarted = message.getInteger(at: message.readerIndex + 4, as: UInt32.self) == 196_608
            out.writeImmutableBuffer(message)
        }
        while hasStarted, let message = nextMessage(lengthAt: 1) {
            pass(message, message.getInteger(at: message.readerIndex) ?? 0, &out)
        }
        unread.discardReadBytes()
        return out
    }

    /// The next whole message. Its length, which counts itself, comes after the type, which those of the start don't have.
    private mutating func nextMessage(lengthAt offset: Int) -> ByteBuffer? {
        guard let length = unread.getInteger(at: unread.readerIndex + offset, as: UInt32.self) else { return nil }
        return unread.readSlice(length: Int(length) + offset)
    }

    private mutating func pass(_ message: ByteBuffer, _ type: UInt8, _ out: inout ByteBuffer) {
        var body = message
        body.moveReaderIndex(forwardBy: 5)
        switch type {
        case UInt8(ascii: "Q"):
            let text = body.readNullTerminatedString() ?? ""
            if let state = faults.stateToRaise(for: text) {
                out.writeMessage("Q") { $0.writeNullTerminatedString(raise(state)) }
            } else {
                out.writeImmutableBuffer(message)
            }
        case UInt8(ascii: "P"):
            isReplacing = false
            let name = body.readNullTerminatedString() ?? ""
            texts[name] = body.readNullTerminatedString() ?? ""
            out.writeImmutableBuffer(message)
        case UInt8(ascii: "B"):
            _ = body.readNullTerminatedString()
            let name = body.readNullTerminatedString() ?? ""
            let isLost = !name.isEmpty && faults.losesPrepared
            guard let state = isLost ? "26000" : faults.stateToRaise(for: texts[name] ?? "") else {
                isReplacing = false
                out.writeImmutableBuffer(message)
                return
            }
            isReplacing = true
            out.writeMessage("P") {
                $0.writeNullTerminatedString("")
                $0.writeNullTerminatedString(raise(state))
                $0.writeInteger(UInt16(0))
            }
            // The unnamed portal of the unnamed statement, without parameters; then run it.
            out.writeMessage("B") { $0.writeBytes([0, 0, 0, 0, 0, 0, 0, 0]) }
            out.writeMessage("E") { $0.writeBytes([0, 0, 0, 0, 0]) }
        case UInt8(ascii: "D"), UInt8(ascii: "E"):
            if !isReplacing { out.writeImmutableBuffer(message) }
        default:
            isReplacing = false
            out.writeImmutableBuffer(message)
        }
    }

    private func raise(_ state: String) -> String {
        "do $$ begin raise exception 'made to fail' using errcode = '\(state)'; end $$"
    }
}

extension ByteBuffer {
    fileprivate mutating func writeMessage(_ type: Unicode.Scalar, _ body: (inout ByteBuffer) -> Void) {
        var content = ByteBuffer()
        body(&content)
        writeInteger(UInt8(ascii: type))
        writeInteger(UInt32(content.readableBytes + 4))
        writeImmutableBuffer(content)
    }
}
