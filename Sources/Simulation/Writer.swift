// Owns: a client that reads and writes, one call after the other, at whatever process it likes.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace
internal import LogModel
internal import Replica

final class Writer {
    private let world: World
    /// By process and life: the newest revision that a serializable read has shown there.
    private var seen: [Int: (life: Int, revision: Revision)] = [:]

    init(_ world: World) { self.world = world }

    func goOn() {
        let think = world.chance.delay(world.swarm.thinkTime)
        world.plan(after: think) { [self] in if world.clientsRun { step() } }
    }

    private func step() {
        guard let process = world.anyProcess() else { return goOn() }
        if world.chance.happens(100) { return readHere(process) }
        let revision = world.log.tables.head.position.revision
        if world.chance.happens(world.swarm.alarms) {
            return world.call(world.maker.alarm(&world.chance), at: process) { [self] _ in goOn() }
        }
        let call: ModelCall =
            world.chance.happens(world.swarm.compactions)
            ? .compact(revision - Int64(world.chance.pick([-1, 0, 0, 1, 5, 20])))
            : world.maker.call(&world.chance, revision: revision, lease: world.anyLease())
        world.call(call, at: process) { [self] answer in
            // Nobody hammers at a store that is full.
            if answer == .failed(.noSpace) || answer == .failed(.corrupt) { world.plan(after: 50_000, goOn) } else { goOn() }
        }
    }

    /// A serializable read: as old as it may be, it must have been true once, and never older than one before.
    private func readHere(_ process: SimulatedProcess) {
        var request = RangeRequest(key: ByteString([0]), rangeEnd: ByteString([0]))
        request.serializable = true
        let life = process.life
        var id: CallID?
        let call = PendingCall { [self] result in
            if case .success(let message) = result, let response = try? RangeResponse.decode(message) {
                let revision = response.header?.revision ?? 0
                if let before = seen[process.index], before.life == life, before.revision > revision, !world.hasLost {
                    world.fail("process \(process.index) showed revision \(revision) after \(before.revision)")
                }
                seen[process.index] = (life, revision)
                world.serializableReads.append((revision, response.kvs))
            }
            id = nil
            goOn()
        }
        id = process.begin(.range(request), call)
        world.plan(after: 10_000_000) { [self] in
            guard let open = id, process.life == life else { return }
            process.cancel(open)
            goOn()
        }
    }
}
