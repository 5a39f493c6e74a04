// Owns: the alarm that stands while the quota is used up: when it is raised and lifted.
// Must never: change an alarm while another change is under way, or lift one that a client raised.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

struct QuotaAlarm {
    private let member: UInt64
    /// A write was refused for want of space: the alarm is to be raised.
    private var wasRefused = false
    private var isChanging = false
    /// An alarm is not lifted before.
    private var nextLift = Instant(nanoseconds: 0)

    init(member: UInt64) { self.member = member }

    /// A write was refused for want of space, and no alarm was the reason.
    mutating func refused() { wasRefused = true }

    /// The change that the alarm needs; `changed` has to follow.
    /// - Parameter hasSpace: whether the store's rows take less than the quota; nil where there is none.
    mutating func change(
        _ now: Instant, alarms: Alarms, committedAlarms: Alarms, hasSpace: Bool?, isSteward: Bool
    ) -> AlarmChange? {
        if wasRefused {
            wasRefused = false
            if !alarms.contains(.noSpace), !isChanging {
                isChanging = true
                return AlarmChange(.raiseForQuota, member: member, alarm: .noSpace)
            }
        }
        guard !committedAlarms.isEmpty, hasSpace == true, now >= nextLift, !isChanging else { return nil }
        // The member that raised it may be gone.
        guard let freed = committedAlarms.raised.first(where: { $0.isOfQuota && (isSteward || $0.member == member) }) else { return nil }
        isChanging = true
        return AlarmChange(.disarm, member: freed.member, alarm: freed.alarm)
    }

    /// The change is made, or has failed.
    mutating func changed(_ now: Instant) {
        isChanging = false
        nextLift = now.advanced(byMs: liftIntervalMs)
    }

    /// When `change` is to be called at the latest while alarms are raised.
    func deadline(_ now: Instant) -> Instant { max(nextLift, now.advanced(byMs: liftIntervalMs)) }
}

/// An alarm stands for at least this long, so that a client that goes on at the quota's edge does not fill the log with alarms.
private let liftIntervalMs = 1_000
