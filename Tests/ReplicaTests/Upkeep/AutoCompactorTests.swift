import EtcdAPI
import Keyspace
import TestSupport
import Testing

@testable import Replica

@Suite("Compaction that nobody asks for", .ownThreads)
struct AutoCompactorTests {
    private static let minuteMs = 60_000

    @Test("it is off unless asked for")
    func off() {
        var compactor = AutoCompactor(.off)
        let due = compactor.tick(Instant(nanoseconds: 1), revision: 100, compactRevision: -1, isSteward: true)
        #expect(due == nil && compactor.deadline(Instant(nanoseconds: 1)) == .distantFuture)
    }

    @Test("all but the newest revisions go, every five minutes, and none twice")
    func byRevision() {
        var compactor = AutoCompactor(.revision(retention: 10))
        var now = Instant(nanoseconds: 0)
        func tick(_ revision: Revision, compacted: Revision = -1, isSteward: Bool = true) -> Revision? {
            defer { compactor.invariants() }
            return compactor.tick(now, revision: revision, compactRevision: compacted, isSteward: isSteward)
        }
        #expect(tick(100) == nil, "the first tick begins to count")
        now = now.advanced(byMs: 5 * Self.minuteMs - 1)
        #expect(tick(100) == nil)
        now = now.advanced(byMs: 1)
        #expect(tick(100, isSteward: false) == nil, "that is the steward's")
        now = now.advanced(byMs: 5 * Self.minuteMs)
        #expect(tick(100) == 90)
        now = now.advanced(byMs: 5 * Self.minuteMs)
        #expect(tick(120) == nil, "the one before is still under way")
        let hasFailed = compactor.failed()
        #expect(hasFailed)
        now = now.advanced(byMs: 5 * Self.minuteMs)
        #expect(tick(100) == 90, "it is tried again")
        #expect(compactor.compacted(now) == 90)
        now = now.advanced(byMs: 5 * Self.minuteMs)
        #expect(tick(100, compacted: 90) == nil)
        now = now.advanced(byMs: 5 * Self.minuteMs)
        #expect(tick(8, compacted: -1) == nil, "there is nothing below the start")
    }

    @Test("what is older than the period goes: first after a whole one, then every hour at most, counted from when it was done")
    func periodic() {
        var compactor = AutoCompactor(.periodic(retentionMs: 180 * Self.minuteMs))
        var compacted: [Int: Revision] = [:]
        // A revision a minute; an hour's tenth is the rhythm.
        for minute in 0...400 {
            let now = Instant(nanoseconds: 0).advanced(byMs: minute * Self.minuteMs)
            guard
                let revision = compactor.tick(
                    now, revision: Revision(minute + 1), compactRevision: compacted.values.max() ?? -1, isSteward: true)
            else { continue }
            compacted[minute] = revision
            _ = compactor.compacted(now)
            compactor.invariants()
        }
        #expect(compacted.keys.sorted() == [180, 240, 300, 360])
        // What was the newest revision about a period before.
        for (minute, revision) in compacted { #expect(abs(minute - Int(revision.rawValue) - 180) <= 7, "minute \(minute): \(revision)") }
    }

    @Test("the quota's alarm is raised once a write was refused, and lifted a while after there is space, by whoever may")
    func quota() {
        var alarm = QuotaAlarm(member: 7)
        let start = Instant(nanoseconds: 0)
        var store = Store()
        func change(_ now: Instant, hasSpace: Bool?, isSteward: Bool = false) -> AlarmChange? {
            alarm.change(now, alarms: store.alarms, committedAlarms: store.committedAlarms, hasSpace: hasSpace, isSteward: isSteward)
        }
        #expect(change(start, hasSpace: false) == nil)
        alarm.refused()
        #expect(change(start, hasSpace: false) == AlarmChange(.raiseForQuota, member: 7, alarm: .noSpace))
        alarm.refused()
        #expect(change(start, hasSpace: false) == nil, "a change is under way")
        func apply(_ action: AlarmChange.Action, at revision: Revision) {
            store.apply(
                LogRow(
                    position: Position(revision, 0), kind: .alarm, createRevision: Revision(Int64(AlarmType.noSpace.rawValue)),
                    version: action.rawValue, lease: 7, origin: 1))
            store.commit()
        }
        apply(.raiseForQuota, at: 2)
        alarm.changed(start)
        #expect(change(start, hasSpace: true) == nil, "it stands for a while")
        let later = start.advanced(byMs: 1_000)
        #expect(change(later, hasSpace: false) == nil && change(later, hasSpace: nil) == nil)
        #expect(change(later, hasSpace: true) == AlarmChange(.disarm, member: 7, alarm: .noSpace))
        apply(.disarm, at: 3)
        alarm.changed(later)
        apply(.raise, at: 4)
        #expect(change(later.advanced(byMs: 5_000), hasSpace: true, isSteward: true) == nil, "a client raised that one")
    }
}
