// Owns: checks of the write pipeline without a replica: when a batch is sent, and that every write is answered once, in its order,
// whatever becomes of the batches.
import Bytes
import Calls
import EtcdAPI
import Keyspace
import TestSupport
import Testing

@testable import Replica

@Suite("The write pipeline", .ownThreads)
struct WritePipelineTests {
    private enum Event: CaseIterable {
        case arrive, send, appended, conflicted, lostBefore, lostBetween, lostAfter
    }

    private func happens(_ event: Event, in world: WriteWorld) {
        switch event {
        case .arrive: world.arrive()
        case .send: _ = world.sendIfAllowed()
        case .appended: world.appended()
        case .conflicted: if !world.sent.isEmpty { #expect(world.conflicted() != nil) }
        case .lostBefore, .lostBetween, .lostAfter:
            let lost = world.lose()
            world.check()
            guard !lost.isEmpty else { return }
            let inserted = event == .lostBefore ? 0 : event == .lostBetween ? 1 : lost.count
            #expect(world.settle(lost, inserted: inserted) == inserted)
        }
        world.check()
    }

    @Test("whatever happens to the batches, in any order, each write is answered once, in the order in which they came")
    func exhaustive() {
        let length = 5
        let kinds = Event.allCases
        var total = 1
        for _ in 0..<length { total *= kinds.count }
        for number in 0..<total {
            let world = WriteWorld { $0.batchRowLimit = 2 }
            world.arrive()
            happens(.send, in: world)
            world.arrive()
            var rest = number
            for _ in 0..<length {
                happens(kinds[rest % kinds.count], in: world)
                rest /= kinds.count
            }
            world.finish()
            let ids = Array(1...UInt64(world.arrivedCount))
            guard world.answered == ids else {
                #expect(world.answered == ids, "sequence \(number)")
                return
            }
        }
    }

    @Test("waiting writes are sent behind a batch once there are enough of them, or bytes, and half as many as it has")
    func canFollow() {
        let world = WriteWorld {
            $0.pipelinedWriteLeast = 3
            $0.pipelinedByteLeast = 10_000
        }
        #expect(world.pipeline.canFollow == false, "nothing is under way")
        for _ in 0..<8 { world.arrive() }
        world.send()
        for count in 1...4 {
            world.arrive()
            #expect(world.pipeline.canFollow == (count == 4))
        }
        world.appended()
        world.send()
        world.arrive(.put(PutRequest(key: "k", value: ByteString(String(repeating: "v", count: 10_000)))))
        #expect(world.pipeline.canFollow == false, "one to four")
        world.arrive()
        #expect(world.pipeline.canFollow == true)
    }

    @Test("nothing is sent behind a batch that was made under the lock")
    func lockedAlone() {
        let world = WriteWorld()
        world.arrive()
        world.askForLock()
        #expect(world.pipeline.isLockFree == false && world.pipeline.hold == nil)
        #expect(world.grantLock() == .start && world.pipeline.hold != nil)
        world.send(isLocked: true)
        world.useLock()
        world.arrive()
        #expect(world.pipeline.isLockFree && world.pipeline.canFollow == false)
        world.check()
        #expect(world.takeActions().count == 2, "the lock is the append's, and not given back")
    }

    @Test("after two lost races the lock is wanted, and once it shows that nobody appends any more it is not")
    func wantsLock() {
        let world = WriteWorld()
        world.arrive()
        for isWanted in [false, true] {
            world.send()
            #expect(world.conflicted()?.count == 1)
            #expect(world.pipeline.wantsLock == isWanted)
        }
        world.askForLock()
        #expect(world.grantLock(revisionsAhead: 1) != nil)
        #expect(world.pipeline.wantsLock == true, "others have appended meanwhile")
        world.giveLockBack()
        #expect(world.pipeline.wantsLock == false && world.pipeline.isLockFree)
        world.check()
    }

    @Test("under the lock deadlines without a lease stay out where nothing is appended", arguments: [[], [9]] as [[LeaseID]])
    func lockWithoutBatch(expired: [LeaseID]) {
        let world = WriteWorld()
        world.askForLock()
        _ = world.grantLock(expired: expired)
        world.useLock()
        #expect(world.takeActions().last == .log(.unlockHead(keepingRemovals: !expired.isEmpty)))
        #expect(world.pipeline.isLockFree == true)
    }

    @Test("where the log is loaded anew waiting writes stay, and the process races again")
    func loadedAnew() {
        let world = WriteWorld()
        world.arrive()
        for _ in 0..<2 {
            world.send()
            world.conflicted()
        }
        world.askForLock()
        #expect(world.loadAnew().isEmpty)
        #expect(world.pipeline.isLockFree && world.pipeline.wantsLock == false && world.pipeline.writeCount == 1)
        #expect(world.grantLock() == nil, "the lock of before")
        world.check()
    }

    @Test("the deadline is that of the oldest write, waiting or sent")
    func deadline() {
        let world = WriteWorld { $0.requestTimeoutMs = 100 }
        #expect(world.pipeline.deadline == nil)
        world.arrive()
        world.now = world.now.advanced(byMs: 10)
        world.send()
        world.arrive()
        #expect(world.pipeline.deadline == Instant(nanoseconds: 0).advanced(byMs: 100))
        world.appended()
        #expect(world.pipeline.deadline == Instant(nanoseconds: 0).advanced(byMs: 110))
    }
}
