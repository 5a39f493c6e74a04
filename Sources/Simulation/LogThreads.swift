// Owns: the threads of one life of a process that talk to the log, a connection each, as Changelog's LogWorkers has them.
internal import Replica

struct LogThreads {
    private let append: AppendThread
    private let read: ReadThread<ReadCommand>
    private let history: ReadThread<HistoryCommand>
    private let values: ReadThread<ValueCommand>
    private let steward: StewardThread

    init(of process: SimulatedProcess, _ world: World) {
        append = AppendThread(LogConnection(.append, of: process, world))
        read = ReadThread(LogConnection(.read, of: process, world))
        history = ReadThread(LogConnection(.history, of: process, world))
        values = ReadThread(LogConnection(.values, of: process, world))
        steward = StewardThread(LogConnection(.steward, of: process, world))
    }

    var connections: [LogConnection] {
        [append.connection, read.connection, history.connection, values.connection, steward.connection]
    }

    func submit(_ command: LogCommand) {
        switch command {
        case .appending(let command): append.submit(command)
        case .reading(let command): read.submit(command)
        case .history(let command): history.submit(command)
        case .values(let command): values.submit(command)
        case .chore(let command): steward.submit(command)
        }
    }

    /// Nobody waits for them any more.
    func end() {
        append.end()
        read.end()
        history.end()
        values.end()
        steward.end()
    }
}
