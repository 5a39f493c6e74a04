// Owns: what an operator asks the database about a store: `pine status`.
// Must never: be asked by a server at work: it may read more than a server should.
internal import Bytes
package import EtcdAPI
package import Keyspace
package import Logging

/// One look at a store, at one moment, by the server's clock.
package struct DatabaseReport: Sendable {
    package struct Table: Sendable {
        package var name: String
        /// As the last VACUUM or ANALYZE counted; nil before the first.
        package var rows: Int64?
        /// Row versions that VACUUM has still to clear away, as the server guesses.
        package var deadRows: Int64
        /// Bytes on disk: the rows, their long values, and the indexes.
        package var tableBytes: Int64
        package var longValueBytes: Int64
        package var indexBytes: Int64
        /// How long ago autovacuum was there; nil for never.
        package var vacuumedAgoMs: Int64?
    }

    package struct Steward: Sendable {
        package var id: Int64
        /// Until another may take over; not positive once it may.
        package var forMs: Int64
    }

    /// PostgreSQL's server_version_num.
    package var serverVersion: Int
    package var schemaVersion: Int
    package var isPooled: Bool
    package var head: Head
    /// The oldest revision that the log still has a row of; nil while it has none.
    package var oldestRevision: Revision?
    /// The compact revision up to which the dead rows are deleted.
    package var sweptCompactRevision: Revision?
    package var members: [Member]
    package var steward: Steward?
    package var leases: Int64
    /// The time of these is over, and the steward hasn't revoked them yet.
    package var overdueLeases: Int64
    package var tables: [Table]
    /// Transactions of the whole server that are open for more than a minute: VACUUM can't clear away what they may see.
    package var longTransactions: Int64

    /// Asks. Members that were silent for longer than `memberAge` are left out.
    package static func make(
        _ settings: LogSettings, memberAge: Duration, logger: Logger
    ) throws(LogError) -> DatabaseReport {
        let session = try LogSession(settings, logger: logger)
        let found = try Migrator(settings, logger: logger).check(on: session)
        let statements = ReportStatements(schema: settings.schema)
        let limit = settings.limits.readLimit
        func integer(_ statement: Statement) throws(LogError) -> Int64? {
            let result = try session.connection.run(statement, within: limit)
            return result.rowCount == 0 || result.isNull(0, 0) ? nil : try result.integer(0, 0)
        }
        let leases = try session.connection.run(statements.leases, within: limit)
        return DatabaseReport(
            serverVersion: session.connection.serverVersion, schemaVersion: found, isPooled: session.isPooled,
            head: try session.readHead(), oldestRevision: try integer(statements.oldest).map(Revision.init),
            sweptCompactRevision: try integer(statements.swept).map(Revision.init),
            members: try session.listMembers(within: memberAge), steward: try steward(statements, session),
            leases: try leases.integer(0, 0), overdueLeases: try leases.integer(0, 1),
            tables: try tables(statements, session), longTransactions: try integer(statements.longTransactions) ?? 0)
    }

    private static func steward(_ statements: ReportStatements, _ session: LogSession) throws(LogError) -> Steward? {
        let result = try session.connection.run(statements.steward, within: session.settings.limits.readLimit)
        guard result.rowCount == 1 else { return nil }
        return Steward(id: try result.integer(0, 0), forMs: try result.integer(0, 1))
    }

    private static func tables(_ statements: ReportStatements, _ session: LogSession) throws(LogError) -> [Table] {
        let schema = session.settings.schema.text
        let result = try session.connection.run(
            statements.tables, .build { $0.add(text: schema) }, within: session.settings.limits.readLimit)
        var tables: [Table] = []
        for row in 0..<result.rowCount {
            let rows: Int64 = try result.integer(row, 1)
            tables.append(
                Table(
                    name: result.text(row, 0), rows: rows < 0 ? nil : rows, deadRows: try result.integer(row, 2),
                    tableBytes: try result.integer(row, 3), longValueBytes: try result.integer(row, 4),
                    indexBytes: try result.integer(row, 5),
                    vacuumedAgoMs: result.isNull(row, 6) ? nil : try result.integer(row, 6)))
        }
        return tables
    }
}

private struct ReportStatements {
    let oldest: Statement
    let swept: Statement
    let steward: Statement
    let leases: Statement
    let tables: Statement
    let longTransactions: Statement

    init(schema name: SchemaName) {
        let schema = name.quoted
        oldest = Statement("select revision from \(schema).changelog where revision > 0 order by revision, sub limit 1")
        swept = Statement("select least(compact_revision, revision) from \(schema).sweep")
        steward = Statement(
            """
            select holder, (extract(epoch from expires_at - now()) * 1000)::bigint from \(schema).duty where name = 'steward'
            """)
        leases = Statement("select count(*), count(*) filter (where expires_at < now()) from \(schema).lease_deadline")
        tables = Statement(
            """
            select c.relname::text, c.reltuples::bigint, coalesce(s.n_dead_tup, 0)::bigint, pg_relation_size(c.oid),
              pg_table_size(c.oid) - pg_relation_size(c.oid), pg_indexes_size(c.oid),
              (extract(epoch from now() - s.last_autovacuum) * 1000)::bigint
              from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
              left join pg_stat_all_tables s on s.relid = c.oid
             where n.nspname = $1::text and c.relkind = 'r' order by pg_total_relation_size(c.oid) desc, c.relname
            """)
        longTransactions = Statement(
            "select count(*) from pg_stat_activity where xact_start < now() - interval '1 minute' and backend_type = 'client backend'")
    }
}
