// Owns: how much of everything a replica has now, for metrics. Each costs the same, however much there is.
package import EtcdAPI
package import Keyspace

package struct ReplicaGauges: Sendable, Hashable {
    package var revision: Revision = 0
    package var compactRevision: Revision = 0
    /// The newest revision that the log is known to have.
    package var headRevision: Revision = 0
    /// The digest at `revision`: of members at the same position all have the same.
    package var digest = Digest.start
    package var keys = 0
    /// Versions of all keys that compaction has not taken out of memory.
    package var keyVersions = 0
    /// Of what is in memory, in bytes: the keys, and about what the index takes beside them and the values.
    package var keyBytes = 0
    package var indexBytes = 0
    /// About how many rows of compacted revisions are still to be looked at, whose predecessors are dead.
    package var sweepBacklog = 0
    package var leases = 0
    package var watchStreams = 0
    package var watchers = 0
    /// Watchers that have not been sent everything up to now.
    package var laggingWatchers = 0
    package var waitingWrites = 0
    package var waitingWriteBytes = 0
    package var waitingReads = 0
    package var scans = 0
    /// What their answers take in memory so far, in bytes.
    package var scanBytes = 0
    /// Whether an append's outcome is unknown.
    package var isRecovering = false
    package var values = ValueCacheGauges()

    package init() {}
}

/// The values in memory. The number of evictions begins anew when the log is loaded anew.
package struct ValueCacheGauges: Sendable, Hashable {
    package var byteCount = 0
    /// Operations that wait for values.
    package var waiting = 0
    package var hits: UInt64 = 0
    package var misses: UInt64 = 0
    package var evictions: UInt64 = 0

    package init() {}
}

extension Replica {
    package var gauges: ReplicaGauges {
        var gauges = ReplicaGauges()
        gauges.revision = store.revision
        gauges.compactRevision = store.compactRevision
        gauges.headRevision = max(follower.headRevision, store.revision)
        gauges.digest = store.committedDigest
        gauges.keys = store.index.liveCount
        gauges.keyVersions = store.index.versionCount
        gauges.keyBytes = store.index.keyBytes
        gauges.indexBytes = store.index.overheadBytes
        gauges.sweepBacklog = store.index.compactedCount
        gauges.leases = store.leases.count
        let watching = watches.counts
        gauges.watchStreams = watching.streams
        gauges.watchers = watching.watchers
        gauges.laggingWatchers = watching.lagging
        gauges.waitingWrites = writes.writeCount
        gauges.waitingWriteBytes = writes.waitingByteCount
        gauges.waitingReads = headReader.count + readyReads.count
        gauges.scanBytes = scans.heldBytes
        gauges.scans = scans.count + streams.count
        gauges.isRecovering = phase.isRecovering
        gauges.values.byteCount = store.index.valueBytes
        gauges.values.waiting = fetcher.count
        gauges.values.hits = valueCounts.hits
        gauges.values.misses = valueCounts.misses
        gauges.values.evictions = store.index.evictions
        return gauges
    }

    /// Values that anybody asked for.
    private var valueCounts: ValueCounts {
        var counts = store.valueCounts
        for more in [scans.valueCounts, streams.valueCounts, hashing.valueCounts, snapshots.valueCounts, watches.valueCounts] {
            counts += more
        }
        return counts
    }

    /// Counts rows that have become visible.
    mutating func count(_ rows: [LogRow]) {
        var last: Revision = -1
        var isInTxn = false
        for row in rows {
            switch row.kind {
            case .put:
                counters.putsFolded += 1
                counters.putBytesFolded += UInt64(row.key.count + row.value.count)
            case .delete: counters.deletesFolded += 1
            case .grant: counters.leasesGranted += 1
            case .revoke: counters.leasesRevoked += 1
            default: break
            }
            guard row.kind == .put || row.kind == .delete else { continue }
            if row.position.revision == last {
                if !isInTxn { counters.txnsFolded += 1 }
                isInTxn = true
            } else {
                isInTxn = false
                last = row.position.revision
            }
        }
    }
}
