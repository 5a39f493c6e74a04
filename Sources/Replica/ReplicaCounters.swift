// Owns: what a replica has counted since its start.

/// Counts since the start, for metrics.
package struct ReplicaCounters: Sendable, Hashable {
    package var writes = WriteCounters()
    package var headReads: UInt64 = 0
    package var readsAnswered: UInt64 = 0
    package var rowsFolded: UInt64 = 0
    package var watchEventsSent: UInt64 = 0
    /// The most rows, keys and watchers that were looked at in one turn, by what is bounded a turn.
    package var turnVisitsMax = 0
    /// What became visible since the start, this process's own and others': puts, the bytes of their keys and values, deletes,
    /// transactions of more than one of them.
    package var putsFolded: UInt64 = 0
    package var putBytesFolded: UInt64 = 0
    package var deletesFolded: UInt64 = 0
    package var txnsFolded: UInt64 = 0
    package var rangesAnswered: UInt64 = 0
    /// Of these, long ones that got the bytes of another's answer.
    package var rangesShared: UInt64 = 0
    /// How often serving began: at the start, and after each time that the log had to be asked or loaded again.
    package var servingPeriods: UInt64 = 0
    /// Reads that the log didn't answer in time.
    package var readsFailed: UInt64 = 0
    /// Reads that were answered, but took long.
    package var slowReads: UInt64 = 0
    /// Keep-alives that were answered, also those of leases that don't exist.
    package var leasesKeptAlive: UInt64 = 0
    /// Transactions on the leases' deadlines.
    package var leaseRounds: UInt64 = 0
    package var leasesExpired: UInt64 = 0
    package var leasesGranted: UInt64 = 0
    package var leasesRevoked: UInt64 = 0
    /// How often this process became the steward, or gave all leases their full time again after an outage.
    package var leaseExtensions: UInt64 = 0
    package var isSteward = false
    /// Dead rows that this process has deleted from the log.
    package var rowsDeleted: UInt64 = 0
    package var autoCompactions: UInt64 = 0
    /// Operations that had to wait for values that are not in memory, and the values and bytes that were read for them.
    package var valueWaits: UInt64 = 0
    package var valuesRead: UInt64 = 0
    package var valueBytesRead: UInt64 = 0
    /// Whether the log's rows didn't add up when they were last loaded.
    package var isLogDamaged = false

    package init() {}
}
