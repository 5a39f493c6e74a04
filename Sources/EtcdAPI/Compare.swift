// Owns: a transaction's condition on a key or a range of keys.
package import Bytes

/// A condition: what `target` names of every key in the range stands in relation `result` to the operand.
package struct Compare: WireMessage {
    package struct CompareResult: WireEnum {
        package var rawValue: Int32

        @inlinable package init(rawValue: Int32) { self.rawValue = rawValue }

        @inlinable package static var equal: Self { Self(rawValue: 0) }
        @inlinable package static var greater: Self { Self(rawValue: 1) }
        @inlinable package static var less: Self { Self(rawValue: 2) }
        @inlinable package static var notEqual: Self { Self(rawValue: 3) }
    }

    package struct CompareTarget: WireEnum {
        package var rawValue: Int32

        @inlinable package init(rawValue: Int32) { self.rawValue = rawValue }

        @inlinable package static var version: Self { Self(rawValue: 0) }
        @inlinable package static var create: Self { Self(rawValue: 1) }
        @inlinable package static var mod: Self { Self(rawValue: 2) }
        @inlinable package static var value: Self { Self(rawValue: 3) }
        @inlinable package static var lease: Self { Self(rawValue: 4) }
    }

    /// Which member of the union was set, and to what. It need not be the one that `target` names.
    package enum TargetUnion: Hashable, Sendable {
        case none
        case version(Int64)
        case createRevision(Revision)
        case modRevision(Revision)
        case value(ByteString)
        case lease(LeaseID)
    }

    package var result: CompareResult = .equal
    package var target: CompareTarget = .version
    package var key = ByteString()
    package var targetUnion: TargetUnion = .none
    /// As in RangeRequest.
    package var rangeEnd = ByteString()

    package init() {}

    package init(
        result: CompareResult = .equal, target: CompareTarget = .version, key: ByteString = ByteString(),
        targetUnion: TargetUnion = .none, rangeEnd: ByteString = ByteString()
    ) {
        self.result = result
        self.target = target
        self.key = key
        self.targetUnion = targetUnion
        self.rangeEnd = rangeEnd
    }

    /// What a numeric target is compared with: 0 where the union holds another member than `target` names, as in etcd.
    package var numberOperand: Int64 {
        switch (target, targetUnion) {
        case (.version, .version(let number)): number
        case (.create, .createRevision(let revision)), (.mod, .modRevision(let revision)): revision.rawValue
        case (.lease, .lease(let lease)): lease.rawValue
        default: 0
        }
    }

    /// What the value is compared with: empty where the union holds another member, as in etcd.
    package var valueOperand: ByteString {
        if case .value(let value) = targetUnion { value } else { ByteString() }
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): result = try reader.enumeration(bytes)
            case (2, .varint): target = try reader.enumeration(bytes)
            case (3, .bytes): key = try reader.byteString(bytes)
            case (4, .varint): targetUnion = .version(try reader.int64(bytes))
            case (5, .varint): targetUnion = .createRevision(try reader.int64(bytes))
            case (6, .varint): targetUnion = .modRevision(try reader.int64(bytes))
            case (7, .bytes): targetUnion = .value(try reader.byteString(bytes))
            case (8, .varint): targetUnion = .lease(try reader.int64(bytes))
            case (64, .bytes): rangeEnd = try reader.byteString(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendEnum(1, result)
        writer.appendEnum(2, target)
        writer.appendBytes(3, key)
        switch targetUnion {
        case .none: break
        case .version(let number): writer.appendUnionUInt64(4, UInt64(bitPattern: number))
        case .createRevision(let revision): writer.appendUnionUInt64(5, UInt64(bitPattern: revision.rawValue))
        case .modRevision(let revision): writer.appendUnionUInt64(6, UInt64(bitPattern: revision.rawValue))
        case .value(let value): writer.appendUnionBytes(7, value)
        case .lease(let lease): writer.appendUnionUInt64(8, UInt64(bitPattern: lease.rawValue))
        }
        writer.appendBytes(64, rangeEnd)
    }
}
