// Owns: the raising or disarming of an alarm, and the row that says so.
package import EtcdAPI

/// An alarm row's meaning.
package struct AlarmChange: Hashable, Sendable {
    /// The raw values are stored in the row's `version`; they never change.
    package enum Action: Int64, Sendable {
        case disarm = 0
        case raise = 1
        /// Raised because the quota is used up: lifted again once there is space.
        case raiseForQuota = 2
    }

    package var action: Action
    package var member: UInt64
    package var alarm: AlarmType

    package init(_ action: Action, member: UInt64, alarm: AlarmType) {
        self.action = action
        self.member = member
        self.alarm = alarm
    }
}
