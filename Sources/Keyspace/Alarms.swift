// Owns: which alarms are raised, as etcd's alarm store has them: by kind and member.
// Must never: know why; the quota is the store's business.
// Invariant: ascending by alarm, then by member; a pair is there once.
package import EtcdAPI

/// An alarm that is raised.
package struct RaisedAlarm: Hashable, Sendable {
    package var member: UInt64
    package var alarm: AlarmType
    /// Whether the quota raised it.
    package var isOfQuota: Bool
    /// Where the log says so.
    var raised: Position
}

/// A handful at most. Copies share their memory, which is all that undoing takes.
package struct Alarms: Hashable, Sendable {
    package private(set) var raised: [RaisedAlarm] = []

    package init() {}

    package var isEmpty: Bool { raised.isEmpty }

    package func contains(_ alarm: AlarmType) -> Bool { raised.contains { $0.alarm == alarm } }

    func contains(_ alarm: AlarmType, of member: UInt64) -> Bool { raised.contains { $0.alarm == alarm && $0.member == member } }

    /// Those of a kind, or all for NONE, as the API tells them.
    package func members(of alarm: AlarmType) -> [AlarmMember] {
        raised.filter { alarm == .none || $0.alarm == alarm }.map { AlarmMember(memberID: $0.member, alarm: $0.alarm) }
    }

    /// Raising twice changes nothing.
    mutating func raise(_ alarm: AlarmType, of member: UInt64, isOfQuota: Bool, at position: Position) {
        guard !contains(alarm, of: member) else { return }
        let index = raised.firstIndex { ($0.alarm.rawValue, $0.member) > (alarm.rawValue, member) } ?? raised.count
        raised.insert(RaisedAlarm(member: member, alarm: alarm, isOfQuota: isOfQuota, raised: position), at: index)
    }

    /// Gives where it was raised; nil where it was not.
    mutating func disarm(_ alarm: AlarmType, of member: UInt64) -> Position? {
        guard let index = raised.firstIndex(where: { $0.alarm == alarm && $0.member == member }) else { return nil }
        return raised.remove(at: index).raised
    }
}

extension LogRow {
    init(_ change: AlarmChange, at position: Position, origin: Int64) {
        self.init(
            position: position, kind: .alarm, createRevision: Revision(Int64(change.alarm.rawValue)), version: change.action.rawValue,
            lease: LeaseID(Int64(bitPattern: change.member)), origin: origin)
    }

    /// What an alarm row says; nil for one that only a later Pine can read.
    var alarmChange: AlarmChange? {
        guard let action = AlarmChange.Action(rawValue: version), let alarm = Int32(exactly: createRevision.rawValue) else { return nil }
        return AlarmChange(action, member: UInt64(bitPattern: lease.rawValue), alarm: AlarmType(rawValue: alarm))
    }
}
