import Changelog
import Foundation
import Logging
import Replica
import Synchronization
import Testing

@testable import PineServer

@Suite("The engine")
struct EngineTests {
    private final class Seen: Sendable {
        let isInTurn = Atomic(false)
        let overlaps = Atomic(0)
        let pings = Atomic(0)

        /// Called in the middle of turns, on whatever thread takes them.
        func turn() {
            if isInTurn.exchange(true, ordering: .acquiringAndReleasing) { overlaps.add(1, ordering: .relaxed) }
            sched_yield()
            isInTurn.store(false, ordering: .releasing)
        }
    }

    @Test("Threads of the log and others that talk at once get every answer, and never two turns at a time")
    func concurrency() async {
        let engine = Engine(
            ReplicaConfiguration(origin: 1, memberID: 1), shared: SharedState(logger: Logger(label: "test")),
            logger: Logger(label: "test"))
        let seen = Seen()
        let thread = engine.start(log: { _ in seen.turn() }, load: { _ in })
        let rounds = 2_000
        await withTaskGroup { group in
            for _ in 0..<2 {
                // As the log's threads do.
                group.addTask { await onThread { for _ in 0..<rounds { engine.hear(.hinted) } } }
                // As a loop does that then has nothing else to do: a wake-up that is lost would leave it waiting.
                group.addTask {
                    for _ in 0..<rounds {
                        await withCheckedContinuation { answered in
                            engine.force(
                                .ping {
                                    seen.turn()
                                    seen.pings.add(1, ordering: .relaxed)
                                    answered.resume()
                                })
                        }
                    }
                }
            }
        }
        #expect(seen.pings.load(ordering: .relaxed) == 2 * rounds)
        #expect(seen.overlaps.load(ordering: .relaxed) == 0)
        engine.stop()
        await onThread { thread.join() }
        // Nobody is there any more, and nothing happens.
        engine.hear(.hinted)
    }

    @Test("A stop that a thread of the log meets ends the engine's thread")
    func stop() async {
        for _ in 0..<200 {
            let engine = Engine(
                ReplicaConfiguration(origin: 1, memberID: 1), shared: SharedState(logger: Logger(label: "test")),
                logger: Logger(label: "test"))
            let thread = engine.start(log: { _ in }, load: { _ in })
            async let heard: Void = onThread { for _ in 0..<50 { engine.hear(.hinted) } }
            engine.stop()
            await heard
            await onThread { thread.join() }
        }
    }
}
