// Owns: bringing the tables of one schema to the version that this Pine works with.
// Must never: write anything where they are at that version already, so that a role without the right to change them can serve.
internal import EtcdAPI
internal import Keyspace
package import Logging

/// Makes and changes the tables. Any number of processes may do so at once: each migration runs in a transaction that holds the
/// lock on row 0 of `schema_version`.
package struct Migrator {
    let settings: LogSettings
    let logger: Logger
    private let schema: String

    /// Changing tables may take as long as it takes; a swallowed connection is noticed by TCP.
    private static let scriptLimit: Duration = .seconds(3600)

    package init(_ settings: LogSettings, logger: Logger) {
        self.settings = settings
        self.logger = logger
        schema = settings.schema.quoted
    }

    /// The version of the tables that this Pine works with.
    package static var latestVersion: Int { Migration.latest }

    /// What there was when the tables were looked at.
    package struct Found: Sendable {
        /// The version of the tables, 0 where there were none.
        package var version: Int
        /// Whether a connection pooler is in front of the server.
        package var isPooled: Bool
    }

    /// Applies what is missing. Throws `schemaTooNew` where a later Pine was here.
    @discardableResult
    package func migrate() throws(LogError) -> Found {
        let session = try LogSession(settings, logger: logger)
        var found = try version(on: session)
        let before = found
        if found < Migration.latest {
            // Everything here can lose a race against another process that does the same; then it is done the next time.
            var backoff = Backoff(first: .milliseconds(20), most: .seconds(1))
            for attempt in 1... {
                do {
                    try createVersionTable(on: session)
                    found = try version(on: session)
                    while found < Migration.latest { found = try applyNext(on: session) }
                    break
                } catch .refused(let state, let message) where attempt < 20 && Self.isLostRace(state) {
                    logger.debug("another process migrates too", metadata: ["message": "\(message)"])
                    backoff.pause()
                }
            }
        }
        try Self.require(found)
        return Found(version: before, isPooled: session.isPooled)
    }

    /// Throws `schemaTooOld` or `schemaTooNew` where the tables are not at the version that this Pine works with.
    @discardableResult
    package func check() throws(LogError) -> Found {
        let session = try LogSession(settings, logger: logger)
        return Found(version: try check(on: session), isPooled: session.isPooled)
    }

    func check(on session: LogSession) throws(LogError) -> Int {
        let found = try version(on: session)
        try Self.require(found)
        return found
    }

    private static func require(_ found: Int) throws(LogError) {
        if found > Migration.latest { throw LogError.schemaTooNew(found: found, known: Migration.latest) }
        if found < Migration.latest { throw LogError.schemaTooOld(found: found, known: Migration.latest) }
    }

    private static func isLostRace(_ state: String) -> Bool {
        SQLState.isRetryable(state)
            || [SQLState.uniqueViolation, SQLState.duplicateTable, SQLState.duplicateSchema, SQLState.duplicateObject]
                .contains(state)
    }

    // MARK: Steps

    private func exists(_ query: String, on session: LogSession) throws(LogError) -> Bool {
        try session.connection.run(
            Statement(query), .build { $0.add(text: settings.schema.text) }, within: settings.limits.readLimit
        ).rowCount > 0
    }

    private func versionTableExists(on session: LogSession) throws(LogError) -> Bool {
        try exists(
            """
            select 1 from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
             where n.nspname = $1::text and c.relname = 'schema_version'
            """, on: session)
    }

    /// The version of the tables; 0 where there are none.
    private func version(on session: LogSession) throws(LogError) -> Int {
        guard try versionTableExists(on: session) else { return 0 }
        let result = try session.connection.run(
            Statement("select coalesce(max(version), 0)::bigint from \(schema).schema_version"), within: settings.limits.readLimit
        )
        return Int(try result.integer(0, 0, as: Int64.self))
    }

    /// The schema and the table that records versions, each only where it is missing: a role that owns a schema need not have
    /// the right to make one.
    private func createVersionTable(on session: LogSession) throws(LogError) {
        if try !exists("select 1 from pg_catalog.pg_namespace where nspname = $1::text", on: session) {
            try run("create schema if not exists \(schema)", on: session)
        }
        if try !versionTableExists(on: session) {
            try run(
                """
                create table if not exists \(schema).schema_version (
                    version int primary key, name text not null, applied_at timestamptz not null default now())
                """, on: session)
        }
        // The row that migrating processes lock.
        try run(
            "insert into \(schema).schema_version (version, name) values (0, 'nothing') on conflict (version) do nothing",
            on: session)
    }

    /// Applies the next migration, if no other process has by now. Gives the version that the tables have then.
    private func applyNext(on session: LogSession) throws(LogError) -> Int {
        try session.finishingTransaction { () throws(LogError) in
            try run("begin", on: session)
            try run("select 1 from \(schema).schema_version where version = 0 for update", on: session)
            let found = try version(on: session)
            guard found < Migration.latest else {
                try run("commit", on: session)
                return found
            }
            let migration = Migration.all[found]
            try run(migration.sql(in: settings.schema), on: session)
            if migration.version == 1 { try insertHead(on: session) }
            if migration.version == Self.keyVersion { try giveKeyToEmpty(on: session) }
            try run(
                "insert into \(schema).schema_version (version, name) values (\(migration.version), '\(migration.name)')",
                on: session)
            try run("commit", on: session)
            logger.notice("migrated the tables", metadata: ["version": "\(migration.version)", "name": "\(migration.name)"])
            return migration.version
        }
    }

    /// The log starts out empty, as a cluster of its own. As in etcd, -1 says that nothing was ever compacted.
    private func insertHead(on session: LogSession) throws(LogError) {
        let start = Position.start
        try run(
            """
            insert into \(schema).head (cluster_id, revision, sub, digest, epoch, compact_revision) values
            (\(Int64.random(in: 1...Int64.max)), \(start.revision), \(start.sub), \(Digest.start.rawValue), 0, -1)
            """, on: session)
    }

    // MARK: The store's key

    /// The first version of the tables that has room for one.
    private static let keyVersion = 7

    /// Gives the store its key before its first row, where it has none.
    private func giveKeyToEmpty(on session: LogSession) throws(LogError) {
        let head = try lockHead(on: session)
        guard head.position == .start, head.digest == .start, head.compactRevision < 0 else { return }
        try giveKey(at: Position(0, 0), head, on: session)
    }

    /// Gives a store its key that was made without one: rows from now on are hashed under it. Pines that know nothing of keys can't read
    /// the log any more. False where the store has a key.
    package func giveKey() throws(LogError) -> Bool {
        let session = try LogSession(settings, logger: logger)
        _ = try check(on: session)
        return try session.finishingTransaction { () throws(LogError) in
            try run("begin", on: session)
            let head = try lockHead(on: session)
            guard try session.readKeyRow() == nil else {
                try run("rollback", on: session)
                return false
            }
            try giveKey(at: Position(head.position.revision, head.position.sub + 1), head, on: session)
            try run("commit", on: session)
            return true
        }
    }

    private func lockHead(on session: LogSession) throws(LogError) -> Head {
        try session.connection.run(session.statements.lockHead, within: settings.limits.appendLimit).head(0)
    }

    /// The head is locked. It stays where it is for a row that comes before all others.
    private func giveKey(at position: Position, _ head: Head, on session: LogSession) throws(LogError) {
        let row = DigestKey.random().row(at: position, origin: .random(in: 1 ... .max))
        let digest = head.digest.appending(row)
        let end = max(head.position, position)
        try run(
            """
            insert into \(schema).changelog (revision, sub, kind, key, value, create_revision, version, lease, origin) values
              (\(position.revision), \(position.sub), \(row.kind.rawValue), '', '', \(row.createRevision), \(row.version), 0, \(row.origin));
            update \(schema).head set revision = \(end.revision), sub = \(end.sub), digest = \(digest.rawValue), row_sum = 0,
              key_revision = \(position.revision), key_sub = \(position.sub);
            update \(schema).sweep set row_sum = 0
            """, on: session)
    }

    private func run(_ script: String, on session: LogSession) throws(LogError) {
        try session.connection.runScript(script, within: Self.scriptLimit)
    }
}
