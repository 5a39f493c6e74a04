// Owns: Maintenance.Status, Maintenance.Alarm and Maintenance.Downgrade.
package import Bytes

package struct StatusRequest: WireMessage {
    package init() {}

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) { try reader.skip(bytes, tag) }
    }

    package func encode(into writer: inout ByteWriter) {}
}

/// How the member that is asked is doing.
package struct StatusResponse: WireMessage {
    package var header: ResponseHeader?
    /// The etcd version that the member's API is that of.
    package var version = ByteString()
    /// Bytes that the store takes.
    package var dbSize: Int64 = 0
    /// The leader's member id, as this member believes.
    package var leader: UInt64 = 0
    package var raftIndex: UInt64 = 0
    package var raftTerm: UInt64 = 0
    package var raftAppliedIndex: UInt64 = 0
    /// What is wrong: raised alarms, no leader.
    package var errors: [ByteString] = []
    /// Bytes of those that hold data.
    package var dbSizeInUse: Int64 = 0
    package var isLearner = false
    package var storageVersion = ByteString()
    /// Bytes that the store may take.
    package var dbSizeQuota: Int64 = 0
    package var downgradeInfo: DowngradeInfo?

    package init() {}

    package init(
        header: ResponseHeader? = nil, version: ByteString = ByteString(), dbSize: Int64 = 0, leader: UInt64 = 0,
        raftIndex: UInt64 = 0, raftTerm: UInt64 = 0, raftAppliedIndex: UInt64 = 0, errors: [ByteString] = [],
        dbSizeInUse: Int64 = 0, isLearner: Bool = false, storageVersion: ByteString = ByteString(), dbSizeQuota: Int64 = 0,
        downgradeInfo: DowngradeInfo? = nil
    ) {
        self.header = header
        self.version = version
        self.dbSize = dbSize
        self.leader = leader
        self.raftIndex = raftIndex
        self.raftTerm = raftTerm
        self.raftAppliedIndex = raftAppliedIndex
        self.errors = errors
        self.dbSizeInUse = dbSizeInUse
        self.isLearner = isLearner
        self.storageVersion = storageVersion
        self.dbSizeQuota = dbSizeQuota
        self.downgradeInfo = downgradeInfo
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .bytes): version = try reader.text(bytes)
            case (3, .varint): dbSize = try reader.int64(bytes)
            case (4, .varint): leader = try reader.varint(bytes)
            case (5, .varint): raftIndex = try reader.varint(bytes)
            case (6, .varint): raftTerm = try reader.varint(bytes)
            case (7, .varint): raftAppliedIndex = try reader.varint(bytes)
            case (8, .bytes): errors.append(try reader.text(bytes))
            case (9, .varint): dbSizeInUse = try reader.int64(bytes)
            case (10, .varint): isLearner = try reader.bool(bytes)
            case (11, .bytes): storageVersion = try reader.text(bytes)
            case (12, .varint): dbSizeQuota = try reader.int64(bytes)
            case (13, .bytes): try reader.merge(bytes, into: &downgradeInfo)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendBytes(2, version)
        writer.appendInt64(3, dbSize)
        writer.appendUInt64(4, leader)
        writer.appendUInt64(5, raftIndex)
        writer.appendUInt64(6, raftTerm)
        writer.appendUInt64(7, raftAppliedIndex)
        writer.appendRepeated(8, errors)
        writer.appendInt64(9, dbSizeInUse)
        writer.appendBool(10, isLearner)
        writer.appendBytes(11, storageVersion)
        writer.appendInt64(12, dbSizeQuota)
        writer.appendMessage(13, downgradeInfo)
    }
}

package struct DowngradeInfo: WireMessage {
    /// A downgrade is under way.
    package var enabled = false
    package var targetVersion = ByteString()

    package init() {}

    package init(enabled: Bool = false, targetVersion: ByteString = ByteString()) {
        self.enabled = enabled
        self.targetVersion = targetVersion
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): enabled = try reader.bool(bytes)
            case (2, .bytes): targetVersion = try reader.text(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendBool(1, enabled)
        writer.appendBytes(2, targetVersion)
    }
}

package struct AlarmType: WireEnum {
    package var rawValue: Int32

    @inlinable package init(rawValue: Int32) { self.rawValue = rawValue }

    /// In a request: any alarm.
    @inlinable package static var none: Self { Self(rawValue: 0) }
    /// The quota is used up.
    @inlinable package static var noSpace: Self { Self(rawValue: 1) }
    @inlinable package static var corrupt: Self { Self(rawValue: 2) }
}

/// Asks for the raised alarms, raises or disarms one.
package struct AlarmRequest: WireMessage {
    package struct AlarmAction: WireEnum {
        package var rawValue: Int32

        @inlinable package init(rawValue: Int32) { self.rawValue = rawValue }

        @inlinable package static var get: Self { Self(rawValue: 0) }
        @inlinable package static var activate: Self { Self(rawValue: 1) }
        @inlinable package static var deactivate: Self { Self(rawValue: 2) }
    }

    package var action: AlarmAction = .get
    /// 0 for all.
    package var memberID: UInt64 = 0
    package var alarm: AlarmType = .none

    package init() {}

    package init(action: AlarmAction = .get, memberID: UInt64 = 0, alarm: AlarmType = .none) {
        self.action = action
        self.memberID = memberID
        self.alarm = alarm
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): action = try reader.enumeration(bytes)
            case (2, .varint): memberID = try reader.varint(bytes)
            case (3, .varint): alarm = try reader.enumeration(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendEnum(1, action)
        writer.appendUInt64(2, memberID)
        writer.appendEnum(3, alarm)
    }
}

/// An alarm that a member has raised.
package struct AlarmMember: WireMessage {
    package var memberID: UInt64 = 0
    package var alarm: AlarmType = .none

    package init() {}

    package init(memberID: UInt64 = 0, alarm: AlarmType = .none) {
        self.memberID = memberID
        self.alarm = alarm
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): memberID = try reader.varint(bytes)
            case (2, .varint): alarm = try reader.enumeration(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendUInt64(1, memberID)
        writer.appendEnum(2, alarm)
    }
}

package struct AlarmResponse: WireMessage {
    package var header: ResponseHeader?
    package var alarms: [AlarmMember] = []

    package init() {}

    package init(header: ResponseHeader? = nil, alarms: [AlarmMember] = []) {
        self.header = header
        self.alarms = alarms
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .bytes): try reader.append(bytes, to: &alarms)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendRepeated(2, alarms)
    }
}

package struct DowngradeRequest: WireMessage {
    package struct DowngradeAction: WireEnum {
        package var rawValue: Int32

        @inlinable package init(rawValue: Int32) { self.rawValue = rawValue }

        @inlinable package static var validate: Self { Self(rawValue: 0) }
        @inlinable package static var enable: Self { Self(rawValue: 1) }
        @inlinable package static var cancel: Self { Self(rawValue: 2) }
    }

    package var action: DowngradeAction = .validate
    /// The version to go down to.
    package var version = ByteString()

    package init() {}

    package init(action: DowngradeAction = .validate, version: ByteString = ByteString()) {
        self.action = action
        self.version = version
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): action = try reader.enumeration(bytes)
            case (2, .bytes): version = try reader.text(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendEnum(1, action)
        writer.appendBytes(2, version)
    }
}

package struct DowngradeResponse: WireMessage {
    package var header: ResponseHeader?
    /// The cluster's version.
    package var version = ByteString()

    package init() {}

    package init(header: ResponseHeader? = nil, version: ByteString = ByteString()) {
        self.header = header
        self.version = version
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .bytes): version = try reader.text(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendBytes(2, version)
    }
}
