// Owns: checks of when a process queues up at the head's lock instead of racing others, and when it stops doing so.
import Testing

@testable import Replica

@Suite("Contention")
struct ContentionTests {
    private let start = Instant(nanoseconds: 0)

    private func contention() -> Contention {
        var configuration = ReplicaConfiguration(origin: 1, memberID: 7)
        configuration.longRaceMs = 500
        return Contention(configuration)
    }

    @Test("two races lost in a row are too many; one that is won in between starts the count anew")
    func races() {
        var contention = contention()
        contention.raceLost(startedAt: start, isLocked: false, start)
        #expect(!contention.isContended && !contention.allowsPipelining)
        contention.raceWon()
        #expect(contention.allowsPipelining)
        contention.raceLost(startedAt: start, isLocked: false, start)
        #expect(!contention.isContended)
        contention.raceLost(startedAt: start, isLocked: false, start)
        #expect(contention.isContended && !contention.allowsPipelining && contention.lockExtraMs == 0)
        contention.invariants()
    }

    @Test(
        "one race that took long, or was lost under the lock, is enough",
        arguments: [(499, false, false), (500, false, true), (0, true, true)])
    func longRace(ms: Int, isLocked: Bool, isContended: Bool) {
        var contention = contention()
        contention.raceLost(startedAt: start, isLocked: isLocked, start.advanced(byMs: ms))
        #expect(contention.isContended == isContended)
        contention.invariants()
    }

    @Test("it goes on as long as others append while the lock is waited for, and ends once nobody has, or the lock is given back")
    func ends() {
        for isGivenBack in [false, true] {
            var contention = contention()
            contention.raceLost(startedAt: start, isLocked: true, start)
            contention.lockGranted(othersAppended: true)
            #expect(contention.isContended)
            contention.raceWon()
            #expect(contention.isContended)
            if isGivenBack { contention.lockGivenBack() } else { contention.lockGranted(othersAppended: false) }
            #expect(!contention.isContended && contention.allowsPipelining)
            contention.lockGranted(othersAppended: true)
            #expect(!contention.isContended, "the lock was asked for to expire leases")
            contention.invariants()
        }
    }

    @Test("the lock is asked for longer with each batch that came too late for it, up to a bound, until one comes in time")
    func extraTime() {
        var contention = contention()
        var extraMs: [Int] = []
        for _ in 0..<8 {
            contention.raceLost(startedAt: start, isLocked: true, start)
            extraMs.append(contention.lockExtraMs)
            contention.invariants()
        }
        #expect(extraMs == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 32_000, 32_000])
        contention.raceWon()
        #expect(contention.lockExtraMs == 0)
        contention.raceLost(startedAt: start, isLocked: true, start)
        contention.loadingBegan()
        #expect(contention.lockExtraMs == 0 && contention.allowsPipelining)
    }
}
