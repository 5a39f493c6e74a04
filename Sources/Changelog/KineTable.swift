// Owns: reading a kine table: the latest state of each key, in one snapshot.
// Must never: write to it; be used by another thread than the one that made it.
internal import Bytes
package import EtcdAPI
package import Logging

package final class KineTable {
    private let connection: PostgresConnection

    private static let pageRows = 500
    private static let limit = Duration.seconds(600)

    /// Connects and begins. `table` may name a schema, too (`public.kine`).
    package init(conninfo: String, table: String, logger: Logger) throws(LogError) {
        connection = try PostgresConnection(
            conninfo: conninfo, connectLimit: .seconds(10), prepares: false, interrupt: -1, logger: logger)
        let name = table.split(separator: ".", omittingEmptySubsequences: false)
            .map { Quoted.sqlIdentifier(String($0)) }.joined(separator: ".")
        _ = try run("begin isolation level repeatable read read only")
        // The last row of a name is its state. Rows that kine itself put there are no keys: its compaction mark, and those that
        // fill gaps, which are marked as deleted. Keys are in the order of their bytes, as everywhere else.
        _ = try run(
            """
            declare keys no scroll cursor for
              select convert_to(name, 'UTF8'), coalesce(value, ''), lease
                from (select distinct on (name collate "C") name, value, coalesce(lease, 0)::bigint as lease, deleted
                        from \(name) order by name collate "C", id desc) latest
               where deleted = 0 and name <> 'compact_rev_key' order by name collate "C"
            """)
    }

    /// The next keys, with their TTLs in the place of leases; none after the last ones.
    package func next() throws(LogError) -> [KeyValue] {
        let rows = try run("fetch \(KineTable.pageRows) from keys")
        var keys: [KeyValue] = []
        for row in 0..<rows.rowCount {
            keys.append(
                KeyValue(
                    key: ByteString(copying: rows.bytes(row, 0)), value: ByteString(copying: rows.bytes(row, 1)),
                    lease: try rows.integer(row, 2)))
        }
        return keys
    }

    private func run(_ text: String) throws(LogError) -> PostgresResult {
        try connection.run(Statement(text), within: KineTable.limit)
    }
}
