// Owns: the bytes of one row's event, as field 11 of a WatchResponse.
// Must never: encode what is encoded already: thousands of watchers may share an event.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

/// An event's bytes, made at most once for all who watch the key: with and without the state before.
struct EncodedEvent {
    private var plain: ByteString?
    private var withPrevious: ByteString?

    /// Nil where the previous value can't be had now.
    mutating func bytes(
        _ row: LogRow, wantsPrevious: Bool, _ store: borrowing Store, _ lookup: inout ValueLookup
    ) -> ByteString? {
        guard wantsPrevious else { return plainBytes(row) }
        if let withPrevious { return withPrevious }
        // Without one there is nothing to tell the two apart.
        guard let previous = store.previous(of: row) else {
            let bytes = plainBytes(row)
            withPrevious = bytes
            return bytes
        }
        guard let value = lookup.find(previous) else { return nil }
        let before = KeyValue(
            key: row.key, createRevision: previous.createRevision, modRevision: previous.position.revision, version: previous.version,
            value: value, lease: previous.lease)
        let bytes = Self.encode(row, previous: before)
        withPrevious = bytes
        return bytes
    }

    private mutating func plainBytes(_ row: LogRow) -> ByteString {
        if let plain { return plain }
        let bytes = Self.encode(row, previous: nil)
        plain = bytes
        return bytes
    }

    /// The event as field 11 of a WatchResponse.
    private static func encode(_ row: LogRow, previous: KeyValue?) -> ByteString {
        var writer = ByteWriter(capacity: row.key.count + row.value.count + 64 + (previous?.value.count ?? 0))
        let kv =
            row.kind == .put
            ? KeyValue(
                key: row.key, createRevision: row.createRevision, modRevision: row.position.revision, version: row.version,
                value: row.value, lease: row.lease)
            : KeyValue(key: row.key, modRevision: row.position.revision)
        writer.appendEvent(row.kind == .put ? .put : .delete, kv: kv, prevKV: previous)
        return writer.finish()
    }
}

extension Store {
    /// The key's state before the row's revision; nil where there was none, the row created the key, or it is compacted.
    borrowing func previous(of row: LogRow) -> KeyVersion? {
        let before = row.position.revision - 1
        if row.kind == .put && row.createRevision == row.position.revision { return nil }
        return before < compactRevision ? nil : index.version(of: row.key, at: before)
    }
}

extension EncodedEvent {
    /// At least what the event's bytes will be, without its being encoded.
    static func byteCount(_ row: LogRow, previous: KeyVersion?) -> Int {
        row.key.count + row.value.count + (previous.map { row.key.count + Int($0.valueLength) } ?? 0)
    }
}
