// Owns: a client that wants little, and wants it in time.
internal import Bytes
internal import EtcdAPI
internal import Keyspace
internal import Replica

/// A client that puts a small value now and then, which has to be done in time while nothing is broken.
final class Prober {
    private let world: World
    private let heavy: Heaviness
    private let process: SimulatedProcess

    init(_ world: World, _ heavy: Heaviness, _ process: SimulatedProcess) {
        self.world = world
        self.heavy = heavy
        self.process = process
    }

    func goOn() {
        let pause = world.chance.number(1...600_000)
        world.plan(after: pause) { [self] in if world.clientsRun { step() } }
    }

    private func step() {
        guard process.isServing else { return goOn() }
        let began = world.now
        let put = PutRequest(key: ByteString("x\(process.index)"), value: world.maker.value(&world.chance))
        world.call(.put(put), at: process) { [self] answer in
            let tookMs = Int((world.now - began) / 1_000)
            if heavy.isCalm, let limitMs = heavy.smallPutLimitMs(at: process.index),
                tookMs > limitMs || answer == .failed(.timeout)
            {
                let outcome = answer.map { "\($0)" } ?? "no answer"
                world.fail("a small put at process \(process.index) came to \(outcome) after \(tookMs) ms, and nothing is broken")
            }
            goOn()
        }
    }
}
