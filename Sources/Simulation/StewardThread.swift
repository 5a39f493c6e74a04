// Owns: a process's thread of the chores: deleting dead rows, the leases' deadlines, the steward's duty.
internal import Keyspace
internal import LogModel
internal import Replica

final class StewardThread {
    private let world: World
    private unowned let process: SimulatedProcess
    let connection: LogConnection
    private var jobs = JobQueue<ChoreCommand>()

    init(_ connection: LogConnection) {
        self.connection = connection
        world = connection.world
        process = connection.process
    }

    private var log: SimulatedLog { world.log }

    func submit(_ command: ChoreCommand) {
        jobs.add(command)
        startNext()
    }

    func end() {
        jobs.clear()
        connection.end()
    }

    private func startNext() {
        switch jobs.begin() {
        case nil: break
        case .deleteRows(let order): delete(order)
        case .lease(let number, let command): lease(number, command)
        }
    }

    private func done(_ event: LogEvent?) {
        jobs.end()
        if let event { process.post(.log(event)) }
        startNext()
    }

    private func delete(_ order: Deletion) {
        connection.withSession { [self] session in
            guard session != nil else { return later(order, afterMs: 50) }
            connection.ask(
                bytes: fixedMessageBytes + 20 * order.positions.count, rows: order.positions.count,
                {
                    [self] finish in finish(log.delete(order, at: world.now))
                }
            ) { [self] (answer: LogEvent??) in
                if let mistake = log.mistake { world.fail(mistake) }
                guard let answer else { return later(order, afterMs: 50) }
                guard let event = answer else { return later(order, afterMs: 200) }
                done(event)
            }
        }
    }

    /// Deletes later; questions come before.
    private func later(_ order: Deletion, afterMs: Int) {
        connection.after(afterMs * 1_000) { [self] in
            jobs.add(.deleteRows(order))
            startNext()
        }
        done(nil)
    }

    private func lease(_ number: UInt64, _ command: LeaseCommand) {
        var failed: LogEvent? = .lease(number: number, .failed(reason: "cut"))
        if case .releaseDuty = command { failed = nil }
        connection.withSession { [self] session in
            guard session != nil else { return done(failed) }
            connection.ask(bytes: command.wireBytes, { [self] finish in execute(command, startedAt: world.now, finish) }) {
                [self] (answer: LeaseAnswer??) in
                guard let answer else { return done(failed) }
                done(answer.map { .lease(number: number, $0) })
            }
        }
    }

    private func execute(_ command: LeaseCommand, startedAt: TrueTime, _ finish: @escaping (LeaseAnswer?) -> Void) {
        if case .round(let round) = command, log.isHeld(round) {
            log.wait { [self] in execute(command, startedAt: startedAt, finish) }
        } else {
            finish(log.answer(command, startedAt: startedAt, now: world.now, sessions: process.leaseSessions))
        }
    }
}
