// Owns: how each command that only reads is asked of PostgreSQL.
internal import Replica

/// A command that one statement answers, on whichever session there is.
protocol LogQuery: Sendable {
    /// What an answer and a failure are counted as.
    var operation: LogOperation { get }
    func answer(on session: LogSession) throws(LogError) -> LogEvent
    /// The answer where there is none.
    func failed(_ reason: String) -> LogEvent
}

extension ReadCommand: LogQuery {
    var operation: LogOperation {
        switch self {
        case .head: .readHead
        case .tail: .readTail
        }
    }

    func answer(on session: LogSession) throws(LogError) -> LogEvent {
        switch self {
        case .head: .headRead(try session.readHead())
        case .tail(let position, let limit): .tailRead(try session.readTail(after: position, limit: limit))
        }
    }
}

extension HistoryCommand: LogQuery {
    var operation: LogOperation { .readHistory }

    func answer(on session: LogSession) throws(LogError) -> LogEvent {
        .historyRead(try session.readTail(after: after, limit: limit))
    }
}

extension ValueCommand: LogQuery {
    var operation: LogOperation { .readValues }

    func answer(on session: LogSession) throws(LogError) -> LogEvent {
        let (head, values) = try session.readValues(positions)
        return .valuesRead(number: number, head, values)
    }
}
