// Owns: the bytes of a record in etcd's bucket `key`: its name, and its value.
// Source: server/storage/mvcc/{revision,kvstore_txn}.go of etcd. A record's name is its main revision, `_`, its sub revision, both of 8
// bytes, big-endian, and `t` for a deletion; its value is a protobuf KeyValue, which of a deletion says the key only.
internal import Bytes
internal import EtcdAPI

enum RecordCoding {
    static func nameSize(isTombstone: Bool) -> Int { isTombstone ? 18 : 17 }

    static func name(_ position: Position, isTombstone: Bool) -> ByteString {
        var name = ByteWriter(capacity: 18)
        name.appendBigEndian(UInt64(bitPattern: position.revision.rawValue))
        name.append(UInt8(ascii: "_"))
        name.appendBigEndian(UInt64(position.sub))
        if isTombstone { name.append(UInt8(ascii: "t")) }
        return name.finish()
    }

    static func valueSize(keyCount: Int, _ version: borrowing KeyVersion) -> Int {
        if version.isTombstone { return bytesSize(keyCount) }
        return bytesSize(keyCount) + numberSize(version.createRevision.rawValue) + numberSize(version.position.revision.rawValue)
            + numberSize(version.version) + bytesSize(Int(version.valueLength)) + numberSize(version.lease.rawValue)
    }

    /// `version` is nil for a deletion.
    static func value(_ key: ByteString, _ version: KeyVersion?, _ value: ByteString) -> ByteString {
        var writer = ByteWriter(capacity: 64 + key.count + value.count)
        guard let version else {
            KeyValue(key: key).encode(into: &writer)
            return writer.finish()
        }
        KeyValue(
            key: key, createRevision: version.createRevision, modRevision: version.position.revision, version: version.version,
            value: value, lease: version.lease
        ).encode(into: &writer)
        return writer.finish()
    }

    private static func bytesSize(_ count: Int) -> Int { count == 0 ? 0 : 1 + varintSize(UInt64(count)) + count }

    private static func numberSize(_ value: Int64) -> Int { value == 0 ? 0 : 1 + varintSize(UInt64(bitPattern: value)) }
}
