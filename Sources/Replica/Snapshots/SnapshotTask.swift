// Owns: one snapshot under way: the file's layout, then its pages in messages of Maintenance.Snapshot.
// Must never: hold more of the file than a step makes and its client has not been sent.
//
//   waiting ──settled──▶ measuring ──▶ writing ──▶ done
internal import Auth
internal import Bolt
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

/// A class, since what grows inside can't be moved about in an array.
final class SnapshotTask {
    private enum Phase {
        case measuring, writing, done
    }

    /// Where a step ends.
    enum Step {
        case unfinished
        case lacks([MissingValue])
        /// To be sent; more follow.
        case chunks([ByteString])
        /// To be sent, and these are the last.
        case last([ByteString])
        /// Compaction has deleted what the file was to have.
        case overtaken
    }

    /// How large a message's piece of the file is, in bytes: etcd's.
    private static let messageBytes = 32 << 10
    /// About how much of the file a step makes.
    private static let stepBytes = 128 << 10

    let id: CallID
    private let buckets: SnapshotBuckets
    private var scan: RecordScan
    private let transaction: UInt64
    private var phase = Phase.measuring
    private var layout = BoltLayout()
    private var writer = BoltWriter(BoltLayout())
    private var bytesLeft = 0
    private var out = ByteWriter()
    private var digest = SHA256.Hash()

    /// Whether the client has taken all that was sent.
    var isReady = true
    /// Whether it waits for values.
    var isParked = false
    /// When it last went on.
    var movedAt: Instant

    /// At the store's revision, which must be settled: leases have no versions.
    init(
        id: CallID, _ store: borrowing Store, _ header: ResponseHeader, members: [SnapshotMember], auth: AuthSnapshot, windowLength: Int,
        now: Instant
    ) {
        self.id = id
        movedAt = now
        buckets = SnapshotBuckets(store, header, members: members, auth: auth)
        scan = RecordScan(revision: store.revision, compactRevision: store.compactRevision, windowLength: windowLength)
        transaction = UInt64(max(store.revision.rawValue, 1))
        lay(buckets.before)
        layout.beginBucket("key")
    }

    /// What is alive here, and all that came later, must stay.
    var pinnedRevision: Revision { scan.pinnedRevision }

    func step(_ index: borrowing KeyIndex, _ lookup: inout ValueLookup, visits: inout Int) -> Step {
        switch phase {
        case .measuring:
            if scan.measure(index, visits: &visits, { layout.add(keySize: $0, valueSize: $1) }) { begin() }
            return .unfinished
        case .writing: return write(index, &lookup, &visits)
        case .done: violated("a snapshot goes on after its end")
        }
    }

    // MARK: Layout

    private func lay(_ buckets: [SnapshotBuckets.Bucket]) {
        for bucket in buckets {
            layout.beginBucket(bucket.name)
            for (key, value) in bucket.elements { layout.add(keySize: key.count, valueSize: value.count) }
        }
    }

    /// All sizes are known.
    private func begin() {
        layout.beginBucket("lease")
        for lease in buckets.leases {
            let (key, value) = SnapshotBuckets.lease(lease)
            layout.add(keySize: key.count, valueSize: value.count)
        }
        lay(buckets.after)
        bytesLeft = layout.finish()
        writer = BoltWriter(layout)
        layout = BoltLayout()
        writer.begin(transaction: transaction, into: &out)
        append(buckets.before)
        phase = .writing
    }

    // MARK: Bytes

    private func append(_ buckets: [SnapshotBuckets.Bucket]) {
        for (key, value) in buckets.lazy.flatMap(\.elements) { writer.append(key: key, value: value, into: &out) }
    }

    private func write(_ index: borrowing KeyIndex, _ lookup: inout ValueLookup, _ visits: inout Int) -> Step {
        switch scan.read(
            index, &lookup, visits: &visits, byteLimit: Self.stepBytes, { writer.append(key: $0, value: $1, into: &out) })
        {
        case .overtaken: return .overtaken
        case .lacks(let missing): return .lacks(missing)
        case .unfinished:
            let messages = takeMessages(isLast: false)
            return messages.isEmpty ? .unfinished : .chunks(messages)
        case .done:
            for lease in buckets.leases {
                let (key, value) = SnapshotBuckets.lease(lease)
                writer.append(key: key, value: value, into: &out)
            }
            append(buckets.after)
            invariant(writer.isComplete, "a snapshot's file is not complete")
            phase = .done
            return .last(takeMessages(isLast: true))
        }
    }

    private func takeMessages(isLast: Bool) -> [ByteString] {
        guard isLast || out.count >= Self.messageBytes else { return [] }
        var writer = ByteWriter()
        swap(&writer, &out)
        let bytes = writer.finish()
        var messages: [ByteString] = []
        var at = 0
        while isLast ? at < bytes.count : bytes.count - at >= Self.messageBytes {
            let blob = bytes.slice(at..<min(at + Self.messageBytes, bytes.count))
            at += blob.count
            bytesLeft -= blob.count
            digest.absorb(blob)
            messages.append(Self.message(blob, remaining: bytesLeft))
        }
        if isLast {
            invariant(bytesLeft == 0, "a snapshot's file ends \(bytesLeft) bytes off its layout")
            messages.append(Self.message(digest.finish(), remaining: 0))
        } else {
            out.append(bytes.slice(at..<bytes.count))
        }
        return messages
    }

    private static func message(_ blob: ByteString, remaining: Int) -> ByteString {
        var writer = ByteWriter(capacity: blob.count + 32)
        SnapshotResponse(remainingBytes: UInt64(remaining), blob: blob, version: SnapshotBuckets.storageVersion).encode(into: &writer)
        return writer.finish()
    }
}
