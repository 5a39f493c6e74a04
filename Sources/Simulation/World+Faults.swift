// Owns: what strikes now and then.
internal import Keyspace
internal import LogModel

extension World {
    func strikeLater() {
        guard !swarm.faults.isEmpty else { return }
        plan(after: chance.delay(swarm.faultIntervalMs * 2_000)) { [self] in
            guard clientsRun else { return }
            strike(chance.pick(swarm.faults))
            strikeLater()
        }
    }

    private func strike(_ fault: Fault) {
        let process = chance.pick(processes)
        switch fault {
        case .crash:
            process.crash()
            restart(process)
        case .handOver:
            guard process.isUp else { return }
            process.handOverDuty()
            plan(after: chance.delay(100_000)) { [self] in
                process.crash()
                // In peace nobody stays away.
                if clientsRun { restart(process) } else if !process.isUp { process.start() }
            }
        case .pause: process.pause(forMs: chance.pick([10, 100, 700, 3_000, 12_000]))
        case .cut: if process.isUp { process.cutOne() }
        case .outage:
            guard !log.isAway else { return }
            say("the log is away")
            log.isAway = true
            for process in processes where process.isUp { process.cutConnections(dropping: chance.happens(500)) }
            plan(after: chance.pick([5_000, 100_000, 1_500_000, 9_000_000])) { [self] in
                say("the log is back")
                log.isAway = false
            }
        case .failover:
            guard !log.isAway else { return }
            log.isAway = true
            for process in processes where process.isUp { process.cutConnections(dropping: true) }
            plan(after: chance.pick([1_000, 100_000, 3_000_000])) { [self] in takeOver(standby) }
        case .restore:
            guard !log.isAway else { return }
            log.isAway = true
            for process in processes { process.crash() }
            plan(after: chance.pick([1_000, 1_000_000])) { [self] in
                takeOver(backup)
                for process in processes { restart(process) }
            }
        case .clockStep:
            let milliseconds = Int64(chance.pick([-20_000, -1_000, 500, 3_000]))
            say("the log's clock jumps by \(milliseconds) ms")
            log.stepClock(byMs: milliseconds, at: now)
        }
    }

    /// Another server takes over with what it has.
    private func takeOver(_ copy: LogCopy) {
        // Not in peace any more, though it was under way.
        guard clientsRun, copy.tables.head.position <= log.tables.head.position else { return }
        say("another server takes over at \(copy.tables.head.position), \(log.rowsLost(to: copy).count) rows are lost")
        loseRows(from: copy)
        log.stepClock(byMs: Int64(chance.pick([-3_000, 0, 0, 500, 4_000])), isOfAnotherServer: true, at: now)
        log.isAway = false
    }

    /// Copies of the log are made now and then: what a standby has received, and a backup.
    func copyLater() {
        guard swarm.faults.contains(.failover) || swarm.faults.contains(.restore) else { return }
        plan(after: chance.delay(swarm.faultIntervalMs * 500)) { [self] in
            standby = log.copy
            if chance.happens(200) { backup = log.copy }
            copyLater()
        }
    }

    private func restart(_ process: SimulatedProcess) {
        plan(after: chance.pick([1_000, 100_000, 2_000_000, 8_000_000])) { if !process.isUp { process.start() } }
    }
}
