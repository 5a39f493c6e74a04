// Owns: what strikes now and then.
internal import Keyspace

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
                restart(process)
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
        case .clockStep:
            log.stepClock(byMs: Int64(chance.pick([-20_000, -1_000, 500, 3_000])), at: now)
        }
    }

    private func restart(_ process: SimulatedProcess) {
        plan(after: chance.pick([1_000, 100_000, 2_000_000, 8_000_000])) { if !process.isUp { process.start() } }
    }
}
