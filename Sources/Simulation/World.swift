// Owns: one run: several processes over one log, their clients, time and chance.
// Invariant: everything that happens follows from the seed.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace
internal import LogModel
internal import Replica

final class World {
    private var agenda = Agenda()
    var chance: Chance
    var swarm: Swarm
    let log: SimulatedLog
    /// What a standby has received, and what a backup holds.
    var standby: LogCopy
    var backup: LogCopy
    private(set) var processes: [SimulatedProcess] = []
    var maker: RequestMaker
    private var writers: [Writer] = []
    private var leaseholders: [Leaseholder] = []
    private(set) var informers: [Informer] = []
    private var heavyClients: [HeavyClient] = []
    private var probers: [Prober] = []

    private var lastRequest: UInt64 = 0
    private var lastSession = 0
    private var lastLease = 0
    private var lastStamp: UInt64 = 0
    /// Whether clients go on asking.
    private(set) var clientsRun = true
    private(set) var isOver = false

    // What is checked
    private(set) var operations: [Operation] = []
    /// How many were sent while another was under way on the same connection.
    var pipelinedAppends = 0
    /// Calls that are waited for.
    private var openCalls = 0
    var serializableReads: [(revision: Revision, kvs: [KeyValue])] = []
    private var promises = LeasePromises()
    var heavyReads: [HeavyRead] = []
    /// How often the epoch was raised.
    private var raisedEpochs = 0
    private(set) var failure: String?
    var fingerprint = Fingerprint()
    private let tells: Bool

    init(seed: UInt64, _ kind: WorldKind, tells: Bool, hasLateKey: Bool) {
        // No draw of the run's own, so that the seeds that once failed play as they did.
        log = SimulatedLog(key: hasLateKey || seed % 4 == 0 ? nil : DigestKey(seed, ~seed))
        standby = log.copy
        backup = log.copy
        chance = Chance(seed: seed)
        swarm = Swarm(&chance)
        swarm.loadsWithoutValues = kind.loadsWithoutValues(seed)
        if let (traits, rules) = kind.heavy(seed) { swarm.makeHeavy(traits, rules, &chance) }
        maker = RequestMaker(keyCount: swarm.keyCount)
        self.tells = tells
        for index in 0..<swarm.processCount { processes.append(SimulatedProcess(index, self)) }
        for _ in 0..<swarm.writerCount { writers.append(Writer(self)) }
        for _ in 0..<swarm.leaseholderCount { leaseholders.append(Leaseholder(self)) }
        for _ in 0..<swarm.watcherCount { informers.append(Informer(self)) }
        if let heavy = swarm.heaviness { fill(heavy) }
        if hasLateKey { giveKeyLater(DigestKey(seed, ~seed)) }
    }

    /// An operator gives the log its key, once it can be reached, and again where a loss has taken it back.
    private func giveKeyLater(_ key: DigestKey) {
        plan(after: chance.delay(1_000_000)) { [self] in
            if !log.isAway, log.tables.key == nil {
                log.whenFree(0) { [self] in
                    guard log.tables.key == nil else { return }
                    log.give(key, stamp: stamp())
                    say("the log has its key at \(log.tables.head.position)")
                }
            }
            if clientsRun { giveKeyLater(key) }
        }
    }

    /// What a heavy world has from the start, and who is there beside the others.
    private func fill(_ heavy: Heaviness) {
        log.fill(Bulk.rows(heavy))
        (standby, backup) = (log.copy, log.copy)
        for (_, trait) in HeavyTraits.named where heavy.traits.contains(trait) {
            heavyClients.append(HeavyClient(self, heavy, habit: trait))
        }
        for process in processes { probers.append(Prober(self, heavy, process)) }
    }

    // MARK: Time

    var now: TrueTime { agenda.now }

    func plan(after microseconds: Int, _ action: @escaping () -> Void) { agenda.plan(after: microseconds, action) }

    /// Lets everything happen that is due until then, or until something is wrong or `condition` holds.
    @discardableResult
    func run(forMs milliseconds: Int, until condition: (() -> Bool)? = nil) -> Bool {
        let end = now + UInt64(milliseconds) * 1_000
        var nextLook = now
        while failure == nil {
            if let condition, now >= nextLook {
                if condition() { return true }
                nextLook = now + 20_000
            }
            guard let action = agenda.next(until: condition == nil ? end : min(end, nextLook)) else {
                if now >= end { break }
                continue
            }
            action()
        }
        return condition?() ?? true
    }

    // MARK: Names

    func newRequest() -> CallID {
        lastRequest += 1
        return CallID(rawValue: lastRequest)
    }

    func newSession() -> SessionID {
        lastSession += 1
        return lastSession
    }

    func newLease() -> LeaseID {
        lastLease += 1
        return LeaseID(Int64(lastLease))
    }

    /// A lease that may be there, or a made-up one.
    func anyLease() -> LeaseID {
        lastLease == 0 || chance.happens(100) ? 999 : LeaseID(Int64(chance.number(max(1, lastLease - 3)...lastLease)))
    }

    func anyProcess() -> SimulatedProcess? {
        let up = processes.filter(\.isUp)
        return up.isEmpty ? nil : chance.pick(up)
    }

    func anyServingProcess() -> SimulatedProcess? {
        let serving = processes.filter(\.isServing)
        return serving.isEmpty ? nil : chance.pick(serving)
    }

    /// A point in the order of everything that clients see.
    private func stamp() -> UInt64 {
        lastStamp += 1
        return lastStamp
    }

    // MARK: Telling

    func say(_ text: @autoclosure () -> String) {
        if tells { print("\(now) µs: \(text())") }
    }

    func fail(_ mistake: String) {
        say("WRONG: \(mistake)")
        if failure == nil { failure = "at \(now / 1_000) ms: \(mistake)" }
    }

    // MARK: Calls

    /// Calls a process and notes it for the search for an order. `then` is told the answer, or that there was none in time.
    func call(_ call: ModelCall, at process: SimulatedProcess, _ then: @escaping (ModelAnswer?) -> Void) {
        guard let request = call.request(streams: chance.happens(200), physical: chance.happens(500)) else { return then(nil) }
        if case .revoke(let lease) = call { promises.willRevoke(lease) }
        let operation = Operation(number: operations.count + 1, call: call, began: stamp())
        operations.append(operation)
        openCalls += 1
        let (askedAt, life) = (now, process.life)
        var messages: [ByteString] = []
        var isOpen = true
        var id: CallID?
        func end(_ answer: ModelAnswer?) {
            guard isOpen else { return }
            isOpen = false
            openCalls -= 1
            // It may have been done nevertheless.
            if answer == nil, case .keepAlive(let lease) = call { promises.mayHavePromised(lease, now: now) }
            if let answer { operation.end(answer, at: stamp()) }
            say("process \(process.index): \(operation)")
            then(answer)
        }
        let pending = PendingCall(
            answered: { [self] result in
                switch result {
                // A stream does not keep anybody from compacting what it has not sent yet.
                case .failure(.compacted) where request.isStream: end(nil)
                case .failure(let error): end(.failed(error))
                case .success(let message):
                    // The end of a stream.
                    if message.isEmpty, case .range = call, messages.isEmpty { return end(nil) }
                    heard(call, message, messages, askedAt: askedAt, end)
                }
            },
            received: { [self] message, report in
                if case .keepAlive = call {
                    heard(call, message, [], askedAt: askedAt, end)
                    if let id { process.cancel(id) }
                    return
                }
                messages.append(message)
                if report, let id { plan(after: chance.delay(1_000)) { if process.life == life { process.drained(id) } } }
            })
        id = process.begin(request, pending)
        plan(after: chance.pick([3_000_000, 10_000_000])) {
            guard isOpen else { return }
            if process.life == life, let id { process.cancel(id) }
            end(nil)
        }
    }

    private func heard(
        _ call: ModelCall, _ message: ByteString, _ messages: [ByteString], askedAt: TrueTime, _ end: (ModelAnswer?) -> Void
    ) {
        guard let answer = try? call.answer(message, messages) else { return fail("the answer to \(call) can't be read") }
        var mistake: String?
        switch (call, answer) {
        case (.grant(let lease, let ttl), .done): mistake = promises.promise(lease, ttl: ttl, askedAt: askedAt, now: now)
        case (.keepAlive(let lease), .keptAlive(_, let ttl)) where ttl > 0:
            mistake = promises.promise(lease, ttl: ttl, askedAt: askedAt, now: now)
        default: break
        }
        if let mistake { fail(mistake) }
        end(answer)
    }

    // MARK: The log

    func append(_ batch: AppendBatch, _ session: SessionID) -> Bool {
        let before = log.tables.head
        var key = log.tables.key
        let lost = batch.newHead.compactRevision > before.compactRevision ? lostTops(by: before) : []
        let isRaised = batch.rows.contains(where: \.isRaise)
        guard log.append(batch, session, stamp: stamp()) else { return false }
        // Compaction beyond what a process had served, and is lost, while that is away: it can't know any more that something is.
        if !isRaised, lost.contains(where: { $0.position.revision < batch.newHead.compactRevision - 1 }) {
            for informer in informers { informer.lookForMistakes(against: log.era.archive) }
        }
        say("appended \(batch.rows.count) rows up to \(batch.newHead.position) by \(batch.rows[0].origin)")
        var (digest, position) = (before.digest, before.position)
        for row in batch.rows {
            if row.position <= position { fail("row \(row.position) was appended after \(position)") }
            position = row.position
            _ = digest.append(row, &key)
            log.era.digests[position] = digest
            if row.isRaise, lost.isEmpty { fail("the revision was raised to \(position.revision) without need") }
            guard row.kind == .revoke else { continue }
            if let mistake = promises.end(row.lease, now: now, steps: log.steppedForwardAt) { fail(mistake) }
        }
        if digest != batch.newHead.digest { fail("the digest of \(position) is wrong") }
        if position != batch.newHead.position { fail("the head is said to be at \(batch.newHead.position), not \(position)") }
        return true
    }

    /// A process that lost sight of an append raises the epoch. While nothing is broken that has to be rare.
    func raiseEpoch(_ process: SimulatedProcess) {
        log.raiseEpoch()
        raisedEpochs += 1
        say("process \(process.index) raises the epoch")
        guard let heavy = swarm.heaviness, heavy.isCalm, heavy.traits.contains(.links) else { return }
        if raisedEpochs > heavy.raisedEpochLimit { fail("the epoch was raised \(raisedEpochs) times, and nothing is broken") }
    }

    /// While nothing is broken, leases end soon after their time.
    private func watchLeases(_ heavy: Heaviness) {
        if let mistake = promises.overdue(now: now, allowedMs: heavy.leaseDelayMs) { fail(mistake) }
        plan(after: 500_000) { [self] in if !isOver { watchLeases(heavy) } }
    }

    func hintOthers(than sender: SimulatedProcess) {
        guard swarm.hints > 0 else { return }
        for process in processes where process !== sender && process.isUp && chance.happens(swarm.hints) {
            let life = process.life
            plan(after: chance.delay(swarm.tripTime)) { if process.isUp, process.life == life { process.post(.log(.hinted)) } }
        }
    }

    // MARK: Looking on

    /// Whether a part of the log was ever lost.
    var hasLost: Bool { log.eras.count > 1 }

    /// A process has folded the log up to a point of some history.
    func check(_ process: SimulatedProcess, at position: Position, _ digest: Digest) {
        if process.tops.last.map({ $0.position == position && $0.digest == digest }) ?? false { return }
        guard log.eras.contains(where: { $0.digests[position] == digest }) else {
            return fail("process \(process.index) is at \(position) with a digest of no history")
        }
        process.hasServed(Top(position: position, digest: digest)) { [self] top in
            top.position <= position && log.eras.contains { $0.has(top) && $0.digests[position] == digest }
        }
    }

    /// What clients may have seen and the log of this head, which is the newest, lacks; as far as it doesn't tell them by itself,
    /// having been compacted since.
    func lostTops(by head: Head) -> [Top] {
        // Who stands right before the compacted revision may go on from that.
        processes.flatMap(\.tops).filter { !log.era.has($0) && $0.position.revision >= head.compactRevision - 1 }
    }

    /// Each loss is noticed once by a process, and never where there was none.
    func historyWasSaidToChange(_ process: SimulatedProcess) {
        if !hasLost || process.noticedEra == log.eras.count { fail("process \(process.index) takes the history for changed") }
        process.noticedEra = log.eras.count
    }

    func loseRows(from copy: LogCopy) {
        let revoked = log.rowsLost(to: copy).filter { $0.kind == .revoke }
        promises.forget(endsOf: revoked.map(\.lease))
        log.fail(over: copy, stamp: stamp())
    }

    // MARK: The run

    /// Everything: faults and clients, then peace, then the checks.
    func play() -> String? {
        for process in processes { process.start() }
        for writer in writers { writer.goOn() }
        for leaseholder in leaseholders { leaseholder.goOn() }
        for informer in informers { informer.goOn() }
        for client in heavyClients { client.goOn() }
        for prober in probers { prober.goOn() }
        if let heavy = swarm.heaviness, heavy.isCalm, !heavy.traits.isDisjoint(with: [.leases, .revokes]) {
            for (index, lease) in heavy.bulkLeases.enumerated() { promises.hasFrom(start: Bulk.lease(index), ttl: lease.ttl) }
            watchLeases(heavy)
        }
        strikeLater()
        copyLater()
        run(forMs: swarm.lengthMs)
        makePeace()
        checkEnd()
        isOver = true
        return failure
    }

    /// Lets go of everybody, who all hold on to the world.
    func end() {
        agenda = Agenda()
        log.forgetWaiters()
        for process in processes { process.end() }
        processes = []
        writers = []
        leaseholders = []
        informers = []
        heavyClients = []
        probers = []
    }

    private func makePeace() {
        guard failure == nil else { return }
        say("faults and clients stop")
        clientsRun = false
        swarm.heal()
        log.isAway = false
        for process in processes {
            process.goOn()
            if !process.isUp { process.start() }
        }
        let isQuiet = run(forMs: 60_000) { [self] in
            openCalls == 0 && processes.allSatisfy { $0.isServing && $0.committed == log.tables.head.position }
        }
        if !isQuiet { return fail("no rest: \(openCalls) open calls, \(state)") }
        guard makeSpace() else { return fail("an alarm is left, \(state)") }
        // Each of them reads and writes. A statement from before may still be on its way, and what waits for it may time out once.
        var left = processes.count * 2
        for process in processes {
            insist(.range(RangeRequest(key: ByteString([0]), rangeEnd: ByteString([0]))), at: process) { left -= 1 }
            insist(.put(PutRequest(key: "z", value: maker.value(&chance))), at: process) { left -= 1 }
        }
        // What was deleted takes its space until the steward has swept it, and the duty of one that is gone lasts as long as the clock
        // was set back.
        let sweepMs = swarm.quotaBytes > 0 ? Int(log.setBackMs) : 0
        let restMs = swarm.heaviness?.restMs ?? 0
        if !run(forMs: 12_000 + restMs + sweepMs, until: { left == 0 }) {
            return fail("\(left) calls without an answer in peace, \(state)")
        }
        // Whose time is over goes, and nothing else happens any more.
        let patienceMs = 40_000 + Int(log.setBackMs)
        if !run(forMs: patienceMs, until: { [self] in processes.allSatisfy { $0.leaseCount == 0 } }) {
            return fail("leases are left: \(state)")
        }
        for informer in informers { informer.settle() }
        let areTold = run(forMs: 30_000) { [self] in
            for informer in informers { informer.read() }
            return informers.allSatisfy { $0.isUpToDate(at: log.tables.head.position.revision) }
        }
        if !areTold { return fail("informers are not told: \(state)") }
        // An informer that has gone elsewhere leaves a watcher behind whose rows may still be on their way over a slow link.
        if restMs > 0 {
            run(forMs: restMs) { [self] in processes.allSatisfy { $0.watchCounts.lagging == 0 } }
        }
    }

    /// Disarms what clients have raised, and frees what there is: what the quota has raised goes by itself.
    private func makeSpace() -> Bool {
        guard swarm.alarms > 0 || swarm.quotaBytes > 0 else { return true }
        let process = processes[0]
        var left: [ModelCall] = []
        for kind in RequestMaker.alarmKinds {
            for member in RequestMaker.alarmMembers { left.append(.alarm(AlarmChange(.disarm, member: member, alarm: kind))) }
        }
        left.append(.deleteRange(DeleteRangeRequest(key: ByteString([0]), rangeEnd: ByteString([0]))))
        let all = left
        var isDone = false
        func goOn() {
            if left.isEmpty { return insist(.compact(log.tables.head.position.revision), at: process) { isDone = true } }
            insist(left.removeFirst(), at: process, goOn)
        }
        // What a client raised whose time was over may come once it has been disarmed.
        for _ in 0..<2 {
            (left, isDone) = (all, false)
            goOn()
            let isFree = run(forMs: 60_000 + Int(log.setBackMs)) { [self] in isDone && !processes.contains(where: \.hasAlarm) }
            if isFree || !isDone { return isFree }
        }
        return false
    }

    /// Calls until there is an answer.
    private func insist(_ call: ModelCall, at process: SimulatedProcess, _ then: @escaping () -> Void) {
        self.call(call, at: process) { [self] answer in
            if answer?.revision != nil || answer == .failed(.compacted) { return then() }
            plan(after: 10_000) { [self] in insist(call, at: process, then) }
        }
    }

    private var state: String {
        let replicas = processes.map { "\($0.isServing ? "serving" : "not serving") \($0.committed) \($0.leaseCount) leases" }
        return "log at \(log.tables.head.position), \(replicas), informers at \(informers.map(\.revision))"
    }
}
