// Owns: what a server writes most, without message structs in between: headers, keys with values, events.
// Invariant: each of these writes exactly the bytes that the message structs write (tested field by field).
package import Bytes

extension ByteWriter {
    // MARK: Pieces of every answer

    /// The header, which is field 1 of every answer.
    @inline(__always)
    package mutating func appendHeader(_ header: ResponseHeader) {
        // Four varints with their tags, after a tag and a length of one byte each.
        append(atMost: 2 + 4 * 11) { start in
            var cursor = WireCursor(at: start + 2)
            cursor.number(1, header.clusterID)
            cursor.number(2, header.memberID)
            cursor.number(3, UInt64(bitPattern: header.revision.rawValue))
            cursor.number(4, header.raftTerm)
            start[0] = 1 << 3 | 2
            start[1] = UInt8(truncatingIfNeeded: cursor.at - start - 2)
            return cursor.at - start
        }
    }

    /// A key with its value, as the sub-message of this field (1 to 15). Pass an empty value for `keys_only`.
    package mutating func appendKeyValue(
        _ field: Int, key: ByteString, createRevision: Revision, modRevision: Revision, version: Int64, value: ByteString, lease: LeaseID
    ) {
        invariant(field >= 1 && field <= 15, "a tag of one byte")
        let body = Self.keyValueSize(
            key: key, createRevision: createRevision, modRevision: modRevision, version: version, value: value, lease: lease)
        let size = 1 + varintSize(UInt64(truncatingIfNeeded: body)) + body
        append(atMost: size) { start in
            var cursor = WireCursor(at: start)
            cursor.length(field, body)
            cursor.bytes(1, key)
            cursor.number(2, UInt64(bitPattern: createRevision.rawValue))
            cursor.number(3, UInt64(bitPattern: modRevision.rawValue))
            cursor.number(4, UInt64(bitPattern: version))
            cursor.bytes(5, value)
            cursor.number(6, UInt64(bitPattern: lease.rawValue))
            return cursor.at - start
        }
    }

    /// A key with its value, as the sub-message of this field (1 to 15).
    @inline(__always)
    package mutating func appendKeyValue(_ field: Int, _ kv: KeyValue) {
        appendKeyValue(
            field, key: kv.key, createRevision: kv.createRevision, modRevision: kv.modRevision, version: kv.version,
            value: kv.value,
            lease: kv.lease)
    }

    /// How many bytes a KeyValue takes, without its tag and length.
    @inline(__always)
    package static func keyValueSize(
        key: ByteString, createRevision: Revision, modRevision: Revision, version: Int64, value: ByteString, lease: LeaseID
    ) -> Int {
        bytesSize(key) + numberSize(createRevision.rawValue) + numberSize(modRevision.rawValue) + numberSize(version) + bytesSize(value)
            + numberSize(lease.rawValue)
    }

    @inline(__always)
    private static func bytesSize(_ value: ByteString) -> Int {
        value.isEmpty ? 0 : 1 + varintSize(UInt64(truncatingIfNeeded: value.count)) + value.count
    }

    @inline(__always)
    private static func numberSize(_ value: Int64) -> Int {
        value == 0 ? 0 : 1 + varintSize(UInt64(bitPattern: value))
    }

    // MARK: KV

    /// What follows the keys in a RangeResponse. The header goes before them (`appendHeader`), each is `appendKeyValue(2, ...)`.
    ///
    /// A RangeStreamResponse is the same between `beginMessage(1)` and `endMessage`.
    package mutating func appendRangeTail(more: Bool, count: Int64) {
        appendBool(3, more)
        appendInt64(4, count)
    }

    /// A whole PutResponse, without a previous state: that is `appendKeyValue(2, ...)` after it.
    package mutating func appendPutResponse(_ header: ResponseHeader) {
        appendHeader(header)
    }

    /// A DeleteRangeResponse up to the previous states, each of which is `appendKeyValue(3, ...)`.
    package mutating func appendDeleteRangeHead(_ header: ResponseHeader, deleted: Int64) {
        appendHeader(header)
        appendInt64(2, deleted)
    }

    /// A TxnResponse up to the responses, each of which goes between `beginResponseOp` and `endResponseOp`.
    package mutating func appendTxnHead(_ header: ResponseHeader, succeeded: Bool) {
        appendHeader(header)
        appendBool(2, succeeded)
    }

    /// A ResponseOp that is being written.
    package struct OpenResponseOp {
        fileprivate let op: Int
        fileprivate let member: Int
    }

    /// Starts the next response in a TxnResponse. The member's fields follow, header first.
    package mutating func beginResponseOp(_ member: ResponseOpMember) -> OpenResponseOp {
        let op = beginMessage(3)
        return OpenResponseOp(op: op, member: beginMessage(member.rawValue))
    }

    /// Ends the response that was begun last.
    package mutating func endResponseOp(_ open: OpenResponseOp) {
        endMessage(open.member)
        endMessage(open.op)
    }

    // MARK: Watch

    /// A change, as the sub-message of this field: 11 in a WatchResponse. The same bytes serve every watcher of the key.
    package mutating func appendEvent(_ type: Event.EventType, kv: KeyValue, prevKV: KeyValue? = nil, field: Int = 11) {
        let event = beginMessage(field)
        appendEnum(1, type)
        appendKeyValue(2, kv)
        if let prevKV { appendKeyValue(3, prevKV) }
        endMessage(event)
    }

    /// A WatchResponse up to the events, each of which is `appendEvent(...)` or the bytes that it wrote elsewhere.
    package mutating func appendWatchHead(
        _ header: ResponseHeader, watchID: WatchID, created: Bool = false, canceled: Bool = false, compactRevision: Revision = 0,
        cancelReason: ByteString = ByteString(), fragment: Bool = false
    ) {
        appendHeader(header)
        appendInt64(2, watchID)
        appendBool(3, created)
        appendBool(4, canceled)
        appendInt64(5, compactRevision)
        appendBytes(6, cancelReason)
        appendBool(7, fragment)
    }

    // MARK: Transactions' and leases' own fields

    package mutating func appendTxnSucceeded(_ succeeded: Bool) {
        appendBool(2, succeeded)
    }

    package mutating func appendDeleted(_ deleted: Int64) {
        appendInt64(2, deleted)
    }

    /// What follows the header of a LeaseGrantResponse.
    package mutating func appendLeaseGrantTail(id: LeaseID, ttl: Int64) {
        appendInt64(2, id)
        appendInt64(3, ttl)
    }

    // MARK: Lease

    /// A whole LeaseKeepAliveResponse.
    package mutating func appendKeepAliveResponse(_ header: ResponseHeader, id: LeaseID, ttl: Int64) {
        appendHeader(header)
        appendInt64(2, id)
        appendInt64(3, ttl)
    }
}

/// The members of ResponseOp's union. The raw values are the field numbers.
package enum ResponseOpMember: Int, Sendable {
    case range = 1
    case put = 2
    case deleteRange = 3
    case txn = 4
}

/// Writes into room that was reserved beforehand. Fields up to 15 only: their tags are one byte.
private struct WireCursor {
    var at: UnsafeMutablePointer<UInt8>

    @inline(__always)
    mutating func byte(_ byte: UInt8) {
        at.pointee = byte
        at += 1
    }

    @inline(__always)
    mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            byte(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        byte(UInt8(truncatingIfNeeded: rest))
    }

    @inline(__always)
    mutating func number(_ field: Int, _ value: UInt64) {
        if value == 0 { return }
        byte(UInt8(truncatingIfNeeded: field << 3))
        varint(value)
    }

    @inline(__always)
    mutating func length(_ field: Int, _ length: Int) {
        byte(UInt8(truncatingIfNeeded: field << 3 | 2))
        varint(UInt64(truncatingIfNeeded: length))
    }

    @inline(__always)
    mutating func bytes(_ field: Int, _ value: ByteString) {
        if value.isEmpty { return }
        length(field, value.count)
        let target = UnsafeMutableRawPointer(at)
        value.withUnsafeBytes { target.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        at += value.count
    }
}
