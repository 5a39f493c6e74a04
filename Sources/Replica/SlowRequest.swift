// Owns: what an operator may want to know of a request that took long: where its time went.
package import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

package struct SlowRequest: Hashable, Sendable {
    /// Waiting for its turn: for earlier batches, or for the head read under way when it came.
    package var queuedMs: Int
    /// Waiting for PostgreSQL: the append, the head read, or the end of an outage.
    package var databaseMs: Int
    /// Working on the answer, other requests' turns included.
    package var workMs: Int
    package var timedOut: Bool
    /// The key or the start of the range, where there is one.
    package var key: ByteString

    package var totalMs: Int { queuedMs + databaseMs + workMs }
}

extension Replica {
    /// Tells of the writes of a batch that have taken long. They are in the order in which they came, but for those that were
    /// put back, which are no later.
    mutating func noteSlow(_ batch: Batch) {
        guard let first = batch.unanswered.first, isSlow(first.arrivedAt) else { return }
        for write in batch.unanswered where isSlow(write.arrivedAt) && !write.id.isOwn {
            counters.writes.slow += 1
            actions.append(
                .slow(
                    write.id,
                    SlowRequest(
                        queuedMs: ms(from: write.arrivedAt, to: batch.startedAt), databaseMs: ms(from: batch.startedAt, to: now),
                        workMs: 0, timedOut: false, key: write.request.subject)))
        }
    }

    /// Tells of reads that have waited long for the head read of `headReader`.
    mutating func noteSlow(_ reads: [PendingRead]) {
        guard let first = reads.first, isSlow(first.arrivedAt) else { return }
        for read in reads where isSlow(read.arrivedAt) && !read.id.isOwn {
            counters.slowReads += 1
            actions.append(
                .slow(
                    read.id,
                    SlowRequest(
                        queuedMs: ms(from: read.arrivedAt, to: headReader.sentAt), databaseMs: ms(from: headReader.sentAt, to: now),
                        workMs: 0, timedOut: false, key: read.subject)))
        }
    }

    /// A scan that has taken long.
    mutating func noteSlow(_ scan: ScanTask) { noteSlow(scan.id, scan.key, since: scan.startedAt) }

    /// A range that has waited long for another's scan.
    mutating func noteSlow(_ follower: ScanFollower) { noteSlow(follower.read.id, follower.request.key, since: follower.since) }

    private mutating func noteSlow(_ id: CallID, _ key: ByteString, since start: Instant) {
        guard isSlow(start) else { return }
        counters.slowReads += 1
        actions.append(
            .slow(
                id, SlowRequest(queuedMs: 0, databaseMs: 0, workMs: ms(from: start, to: now), timedOut: false, key: key)))
    }

    /// A request that has waited for as long as any may: for PostgreSQL, in the end.
    mutating func noteTimeout(_ id: CallID, arrivedAt: Instant, key: ByteString) {
        if id.isOwn { return }
        actions.append(
            .slow(
                id,
                SlowRequest(
                    queuedMs: 0, databaseMs: ms(from: arrivedAt, to: now), workMs: 0, timedOut: true, key: key)))
    }

    private func isSlow(_ arrivedAt: Instant) -> Bool {
        arrivedAt.advanced(byMs: configuration.slowRequestMs) <= now
    }

    private func ms(from start: Instant, to end: Instant) -> Int {
        start < end ? Int((end.nanoseconds - start.nanoseconds) / 1_000_000) : 0
    }
}

extension WriteRequest {
    /// The key that it is about, where it is about one.
    var subject: ByteString {
        switch self {
        case .put(let put): put.key
        case .deleteRange(let delete): delete.key
        case .txn(let txn): txn.compare.first?.key ?? ByteString()
        default: ByteString()
        }
    }
}

extension PendingRead {
    var subject: ByteString {
        switch kind {
        case .range(let request), .rangeStream(let request): request.key
        case .unchanged(let write, _, _, _): write.request.subject
        case .txn, .revision, .alarms, .hashKV, .hash, .auth, .snapshot, .watchProgress: ByteString()
        }
    }
}
