// Owns: the bytes of a record of etcd's key bucket, as far as its checksum needs them.
// Source: server/storage/mvcc/{revision,kvstore_txn}.go of etcd. A record's name is its main revision, `_`, its sub revision, both of 8
// bytes, big-endian, and `t` for a deletion; its value is a protobuf KeyValue, which of a deletion says the key only.
internal import Bytes
internal import EtcdAPI

struct RecordEncoder {
    /// The bytes around key and value.
    private var scratch: [UInt8] = []

    /// The checksum and the length in bytes of the record that `version` is, given the checksum of its value.
    mutating func record(
        _ key: UnsafeRawBufferPointer, _ version: borrowing KeyVersion, _ value: CRC32C
    ) -> (checksum: CRC32C, count: Int) {
        var checksum = CRC32C()
        var count = 0
        scratch.removeAll(keepingCapacity: true)
        withUnsafeBytes(of: UInt64(version.position.revision.rawValue).bigEndian) { scratch.append(contentsOf: $0) }
        scratch.append(UInt8(ascii: "_"))
        withUnsafeBytes(of: UInt64(version.position.sub).bigEndian) { scratch.append(contentsOf: $0) }
        if version.isTombstone { scratch.append(UInt8(ascii: "t")) }
        if !key.isEmpty { length(1, key.count) }
        flush(&checksum, &count)
        checksum.append(key)
        count += key.count
        if !version.isTombstone {
            number(2, version.createRevision.rawValue)
            number(3, version.position.revision.rawValue)
            number(4, version.version)
            let valueCount = Int(version.valueLength)
            if valueCount > 0 { length(5, valueCount) }
            flush(&checksum, &count)
            if valueCount > 0 { checksum.append(value, count: valueCount) }
            count += valueCount
            number(6, version.lease.rawValue)
            flush(&checksum, &count)
        }
        return (checksum, count)
    }

    private mutating func flush(_ checksum: inout CRC32C, _ count: inout Int) {
        scratch.withUnsafeBytes { checksum.append($0) }
        count += scratch.count
        scratch.removeAll(keepingCapacity: true)
    }

    private mutating func length(_ field: UInt8, _ count: Int) {
        scratch.append(field << 3 | 2)
        varint(UInt64(count))
    }

    private mutating func number(_ field: UInt8, _ value: Int64) {
        if value == 0 { return }
        scratch.append(field << 3)
        varint(UInt64(bitPattern: value))
    }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            scratch.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        scratch.append(UInt8(rest))
    }
}
