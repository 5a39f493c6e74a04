// Owns: checks of the head's lock alone: who is heard, and when it is given back.
import EtcdAPI
import Keyspace
import Testing

@testable import Replica

@Suite("The head's lock")
struct HeadLockTests {
    private let since = Position(7, 0)

    private func hold(_ expired: [LeaseID] = []) -> HeadLock.Hold {
        HeadLock.Hold(
            head: Head(clusterID: 1, position: Position(9, 0), digest: Digest(rawValue: 5), epoch: 3, compactRevision: -1),
            expired: expired)
    }

    @Test("it is asked for, granted, and the next append's")
    func granted() {
        var lock = HeadLock()
        var actions: [Action] = []
        let expiry = LeaseExpiry(leases: [4], holder: 1)
        lock.ask(since: since, expiring: expiry, extraMs: 20, &actions)
        #expect(actions == [.log(.lockHead(expiring: expiry, extraMs: 20))] && !lock.isFree && lock.hold == nil)
        let asked = lock.granted(hold([4]))
        #expect(asked == since && lock.hold == hold([4]))
        lock.handedOver()
        #expect(lock.isFree && lock.hold == nil && actions.count == 1)
    }

    @Test("it is free again where the log could not be asked, and answers that nobody waits for change nothing")
    func refused() {
        var lock = HeadLock()
        var actions: [Action] = []
        let isHeard = lock.refused()
        let isGranted = lock.granted(hold()) != nil
        #expect(!isHeard && !isGranted && lock.isFree)
        lock.ask(since: since, expiring: nil, extraMs: 0, &actions)
        let isRefused = lock.refused()
        #expect(isRefused && lock.isFree)
    }

    @Test("it is given back, and the deadlines that were taken out stay out only if told", arguments: [false, true])
    func givenBack(keepingRemovals: Bool) {
        var lock = HeadLock()
        var actions: [Action] = []
        lock.ask(since: since, expiring: nil, extraMs: 0, &actions)
        _ = lock.granted(hold())
        actions = []
        lock.giveBack(keepingRemovals: keepingRemovals, &actions)
        #expect(actions == [.log(.unlockHead(keepingRemovals: keepingRemovals))] && lock.isFree)
    }

    @Test("where the log is loaded anew a lock that is held is given back, and the answers to those asked for before come first")
    func loadedAnew() {
        var lock = HeadLock()
        var actions: [Action] = []
        lock.ask(since: since, expiring: nil, extraMs: 0, &actions)
        lock.loadingBegan(&actions)
        lock.ask(since: Position(1, 0), expiring: nil, extraMs: 0, &actions)
        lock.loadingBegan(&actions)
        lock.ask(since: Position(2, 0), expiring: nil, extraMs: 0, &actions)
        #expect(actions == Array(repeating: .log(.lockHead()), count: 3))
        let stale = lock.granted(hold())
        let isRefused = lock.refused()
        #expect(stale == nil && !isRefused && !lock.isFree)
        let asked = lock.granted(hold())
        #expect(asked == Position(2, 0))
        actions = []
        lock.loadingBegan(&actions)
        #expect(actions == [.log(.unlockHead())] && lock.isFree)
        let isHeard = lock.refused()
        #expect(!isHeard, "no answer is left")
    }
}
