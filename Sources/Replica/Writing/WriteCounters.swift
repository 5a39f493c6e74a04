// Owns: the counts of the write path since the start, and the metrics of Pine's own that show them.
// A new metric needs a property, a line in `write`, and the place in `Replica+Writing.swift` that counts it.
package import Metrics

package struct WriteCounters: Sendable, Hashable {
    package var batchesAppended: UInt64 = 0
    /// Sent while the one before was under way.
    package var batchesPipelined: UInt64 = 0
    package var rowsAppended: UInt64 = 0
    package var racesLost: UInt64 = 0
    package var appendsLost: UInt64 = 0
    /// Writes that the log didn't answer in time, or that a changed history left without an outcome.
    package var failed: UInt64 = 0
    /// Writes that were answered, but took long.
    package var slow: UInt64 = 0

    package init() {}

    /// Writes those that etcd has no names for.
    package func write(into exposition: inout Exposition) {
        exposition.counter("pine_batches_appended_total", "Batches that were committed.", batchesAppended)
        exposition.counter(
            "pine_batches_pipelined_total", "Batches that were sent while the one before was being made durable.", batchesPipelined)
        exposition.counter("pine_rows_appended_total", "Rows that were committed.", rowsAppended)
        exposition.counter(
            "pine_lost_races_total", "Batches that were evaluated again because another member appended first.", racesLost)
        exposition.counter(
            "pine_lost_appends_total", "Batches whose outcome had to be asked for, as their connection broke.", appendsLost)
    }
}
