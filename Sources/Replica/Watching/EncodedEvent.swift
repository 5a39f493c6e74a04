// Owns: the bytes of one row's event, as field 11 of a WatchResponse.
// Must never: encode what is encoded already: thousands of watchers may share an event.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

/// An event's bytes, made at most once for all who watch the key: with and without the state before.
struct EncodedEvent {
    private var plain: ByteString?
    private var withPrevious: ByteString?

    mutating func bytes(_ row: LogRow, wantsPrevious: Bool, _ store: borrowing Store) -> ByteString {
        if !wantsPrevious {
            if let plain { return plain }
            let bytes = Self.encode(row, previous: nil, store.cold)
            plain = bytes
            return bytes
        }
        if let withPrevious { return withPrevious }
        let previous = store.previous(of: row)
        // Without one there is nothing to tell the two apart.
        let bytes = previous == nil ? self.bytes(row, wantsPrevious: false, store) : Self.encode(row, previous: previous, store.cold)
        withPrevious = bytes
        return bytes
    }

    /// The event as field 11 of a WatchResponse.
    private static func encode(_ row: LogRow, previous: KeyVersion?, _ cold: ColdValues) -> ByteString {
        var writer = ByteWriter(capacity: row.key.count + row.value.count + 64 + Int(previous?.valueLength ?? 0))
        let kv =
            row.kind == .put
            ? KeyValue(
                key: row.key, createRevision: row.createRevision, modRevision: row.position.revision, version: row.version,
                value: row.value, lease: row.lease)
            : KeyValue(key: row.key, modRevision: row.position.revision)
        let before = previous.map {
            KeyValue(
                key: row.key, createRevision: $0.createRevision, modRevision: $0.position.revision, version: $0.version,
                value: cold.value(of: $0, key: row.key), lease: $0.lease)
        }
        writer.appendEvent(row.kind == .put ? .put : .delete, kv: kv, prevKV: before)
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
