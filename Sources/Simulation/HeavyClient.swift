// Owns: clients of heavy worlds, one for each trait: what they ask for is large, or much at once.
// Must never: change a key of the bulk but by deleting it; what writers and informers know of lies after it.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace
internal import Replica

/// How many Ranges of everything each client asks for that gives up.
let rangesOfAbandoned = 3

/// A read that was answered, to be compared with what was true at its revision.
struct HeavyRead {
    let call: ModelCall
    let answer: ModelAnswer
}

final class HeavyClient {
    private let world: World
    private let heavy: Heaviness
    private let habit: HeavyTraits

    init(_ world: World, _ heavy: Heaviness, habit: HeavyTraits) {
        self.world = world
        self.heavy = heavy
        self.habit = habit
    }

    func goOn() {
        let pause = world.chance.number(1...2 * pauseMicroseconds)
        world.plan(after: pause) { [self] in if world.clientsRun { step() } }
    }

    private var pauseMicroseconds: Int {
        switch habit {
        case .links: 3_000_000
        case .leases, .revokes: 1_000_000
        default: 1_500_000
        }
    }

    private func step() {
        guard let process = world.anyServingProcess() else { return goOn() }
        switch habit {
        case .reads: read(process)
        case .writeTxns: world.call(.txn(writeTxn()), at: process) { [self] _ in goOn() }
        case .leases, .revokes: askForLease(process)
        case .statements: delete(process)
        case .links: putLarge(process)
        default: giveUp(process)
        }
    }

    // MARK: Many keys

    /// A Range of the bulk that has to look at all of it and shows little.
    private func thriftyRange() -> RangeRequest {
        var range = RangeRequest(key: Bulk.range.key, rangeEnd: Bulk.range.end)
        switch world.chance.number(0...3) {
        case 0: range.minModRevision = .max - 1
        case 1: range.maxModRevision = 3
        case 2: (range.sortTarget, range.sortOrder, range.limit) = (.value, .descend, 1)
        default: (range.minModRevision, range.countOnly) = (1, true)
        }
        if range.maxModRevision > 0 { range.limit = 2 }
        return range
    }

    private func read(_ process: SimulatedProcess) {
        let isTxn = world.chance.happens(700)
        var txn = TxnRequest()
        for _ in 0..<world.chance.number(16...64) { txn.success.append(.range(thriftyRange())) }
        var range = thriftyRange()
        range.serializable = world.chance.happens(500)
        ask(isTxn ? .txn(txn) : .range(range), process) { [self] in goOn() }
    }

    /// Reads, and notes the answer. It is no operation of the order that is looked for, since the search would try it again and again.
    private func ask(_ call: ModelCall, _ process: SimulatedProcess, _ then: @escaping () -> Void) {
        guard let request = call.request(streams: false, physical: false) else { return then() }
        var id: CallID?
        var isOpen = true
        let life = process.life
        id = process.begin(
            request,
            PendingCall { [self] result in
                guard isOpen else { return }
                isOpen = false
                if case .success(let message) = result, let answer = try? call.answer(message, []) {
                    world.heavyReads.append(HeavyRead(call: call, answer: answer))
                }
                then()
            })
        world.plan(after: 10_000_000) {
            guard isOpen else { return }
            isOpen = false
            if process.life == life, let id { process.cancel(id) }
            then()
        }
    }

    /// Nested transactions of Ranges, and one put.
    private func writeTxn() -> TxnRequest {
        var outer = TxnRequest()
        for _ in 0..<world.chance.number(4...8) {
            var inner = TxnRequest()
            for _ in 0..<8 { inner.success.append(.range(thriftyRange())) }
            outer.success.append(.txn(inner))
        }
        outer.success.append(.put(PutRequest(key: "w", value: world.maker.value(&world.chance))))
        return outer
    }

    // MARK: Leases

    /// Ends a large lease by hand, perhaps; else looks at it.
    private func askForLease(_ process: SimulatedProcess) {
        let lease = Bulk.lease(world.chance.number(0...heavy.bulkLeases.count - 1))
        let call: ModelCall = world.chance.happens(50) ? .revoke(lease) : .keepAlive(lease)
        if world.chance.happens(800) { return world.call(.timeToLive(lease), at: process) { [self] _ in goOn() } }
        world.call(call, at: process) { [self] _ in goOn() }
    }

    // MARK: Large statements

    /// Deletes a large part of the bulk.
    private func delete(_ process: SimulatedProcess) {
        let first = world.chance.number(0...max(heavy.bulkKeyCount / 3, 1))
        let request = DeleteRangeRequest(key: Bulk.key(first, bytes: 0), rangeEnd: Bulk.range.end)
        world.call(.deleteRange(request), at: process) { [self] _ in goOn() }
    }

    // MARK: Slow links

    private func putLarge(_ process: SimulatedProcess) {
        let value = Bulk.padded("\(world.maker.value(&world.chance))", to: heavy.largeValueBytes, with: "v")
        world.call(.put(PutRequest(key: "v", value: value)), at: process) { [self] _ in goOn() }
    }

    // MARK: Clients that give up

    /// Many read everything several times over, and are gone some milliseconds later.
    private func giveUp(_ process: SimulatedProcess) {
        let isSerializable = world.chance.happens(700)
        var range = RangeRequest(key: Bulk.range.key, rangeEnd: Bulk.range.end)
        range.serializable = isSerializable
        let txn = TxnRequest(success: [RequestOp](repeating: .range(range), count: rangesOfAbandoned))
        let life = process.life
        for _ in 0..<world.chance.number(20...40) {
            world.plan(after: world.chance.delay(500)) { [self] in
                guard process.isUp, process.life == life else { return }
                let id = process.begin(.readTxn(txn), PendingCall { _ in })
                world.plan(after: world.chance.delay(3_000)) { if process.life == life { process.cancel(id) } }
            }
        }
        goOn()
    }
}
