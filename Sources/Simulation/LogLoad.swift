// Owns: one reading of the whole log by a process, as one moment saw it, in pieces; the connection may be lost meanwhile.
// Must never: hand in anything in another life than the one that asked.
internal import Keyspace
internal import LogModel
internal import Replica

final class LogLoad {
    private let world: World
    private unowned let process: SimulatedProcess
    private let life: Int
    private let marks: [ServedMark]

    init(of process: SimulatedProcess, comparedWith marks: [ServedMark], _ world: World) {
        self.process = process
        self.marks = marks
        self.world = world
        life = process.life
    }

    func start() { attempt(hasDelivered: false) }

    private func after(_ microseconds: Int, _ body: @escaping () -> Void) { process.after(microseconds, in: life, body) }

    private func attempt(hasDelivered: Bool) {
        after(world.chance.delay(world.swarm.tripTime * 3)) { [self] in
            if hasDelivered { process.post(.loadRestarted) }
            guard !world.log.isAway else { return after(100_000) { [self] in attempt(hasDelivered: false) } }
            let tables = world.log.tables
            let bareCount = bareCount(of: tables)
            // The key comes along with what comes first.
            let key = bareCount > 0 ? [] : tables.rows.prefix { $0.kind == .digestKey }
            handIn(Array(key), tables.rows.dropFirst(key.count), bare: bareCount, tables)
        }
    }

    /// How many rows come without their values: all but some of the newest, and but those that the log is compared by.
    private func bareCount(of tables: LogTables) -> Int {
        guard world.swarm.loadsWithoutValues else { return 0 }
        let count = tables.rows.count - tables.rows.count * world.chance.pick([0, 0, 1, 2, 4]) / 4
        guard let openAt = marks.filter({ $0.isOpen(at: tables.head) }).map(\.position).min() else { return count }
        return tables.rows.prefix(count).prefix { $0.position <= openAt }.count
    }

    private func handIn(_ key: [LogRow], _ rows: ArraySlice<LogRow>, bare: Int, _ tables: LogTables) {
        after(world.chance.delay(world.swarm.tripTime)) { [self] in
            if world.log.isAway || world.chance.happens(world.swarm.lostBefore) { return attempt(hasDelivered: true) }
            guard !rows.isEmpty else {
                if !key.isEmpty { process.post(.rowsLoaded(key)) }
                return process.post(.loadFinished(tables.head, tables.deleted))
            }
            let limit = world.chance.pick([1, 10, 1_000])
            let part = key + rows.prefix(bare > 0 ? min(bare, limit) : limit)
            let sent = bare > 0 ? part.map(\.withoutValue) : part
            func arrived() {
                process.post(bare > 0 ? .rowsLoadedWithoutValues(sent, part.map(\.value.count)) : .rowsLoaded(part))
                handIn([], rows.dropFirst(part.count - key.count), bare: max(bare - part.count, 0), tables)
            }
            let microseconds = process.link.down.pass(sent.wireBytes, on: loadConnection, at: world.now)
            if microseconds == 0 { arrived() } else { after(microseconds, arrived) }
        }
    }
}
