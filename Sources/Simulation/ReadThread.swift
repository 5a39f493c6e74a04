// Owns: a process's threads that only read: one for the head and the tail, one for history, one for values, which answer each other out
// of order.
internal import Keyspace
internal import LogModel
internal import Replica

/// A command that one statement answers.
protocol SimulatedQuery {
    /// What the tables say, and how many bytes that takes on the wire.
    func answer(from tables: LogTables) -> (event: LogEvent, bytes: Int)
    /// The answer where there is none.
    func failed(_ reason: String) -> LogEvent
}

extension ReadCommand: SimulatedQuery {
    func answer(from tables: LogTables) -> (event: LogEvent, bytes: Int) {
        switch self {
        case .head: return (.headRead(tables.head), fixedMessageBytes)
        case .tail(let position, let limit):
            let tail = tables.tail(after: position, limit: limit)
            return (.tailRead(tail), tail.wireBytes)
        }
    }
}

extension HistoryCommand: SimulatedQuery {
    func answer(from tables: LogTables) -> (event: LogEvent, bytes: Int) {
        let tail = tables.tail(after: after, limit: limit)
        return (.historyRead(tail), tail.wireBytes)
    }
}

extension ValueCommand: SimulatedQuery {
    func answer(from tables: LogTables) -> (event: LogEvent, bytes: Int) {
        let values = tables.values(at: positions)
        return (
            .valuesRead(number: number, tables.head, values), values.values.reduce(fixedMessageBytes) { $0 + 16 + $1.count }
        )
    }
}

final class ReadThread<Command: SimulatedQuery> {
    let connection: LogConnection
    private var jobs = JobQueue<Command>()

    init(_ connection: LogConnection) { self.connection = connection }

    func submit(_ command: Command) {
        jobs.add(command)
        startNext()
    }

    func end() {
        jobs.clear()
        connection.end()
    }

    private func startNext() {
        guard let command = jobs.begin() else { return }
        connection.withSession { [self] session in
            guard session != nil else { return done(command.failed("cut")) }
            let read = { [self] (finish: @escaping ((event: LogEvent, bytes: Int)) -> Void) in
                finish(command.answer(from: connection.log.tables))
            }
            connection.ask(answerBytes: \.bytes, read) { [self] answer in done(answer?.event ?? command.failed("cut")) }
        }
    }

    private func done(_ event: LogEvent) {
        jobs.end()
        connection.process.post(.log(event))
        startNext()
    }
}
