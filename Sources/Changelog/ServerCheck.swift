// Owns: what must be true of a server before the log is used there, and how a session is set up.
// Run for every connection: after a failover the server behind the same name is another one.

enum ServerCheck {
    /// PostgreSQL 13.
    static let oldestVersion = 130_000

    private static let readSettings = Statement(
        """
        select s.name, s.setting from pg_settings s
         where s.name in ('fsync', 'full_page_writes', 'synchronous_commit', 'transaction_read_only')
        """)
    private static let isStandby = Statement("select pg_is_in_recovery()")

    /// What a session needs for itself, where the server knows the setting. What runs long here waits for other writers or for
    /// a synchronous standby; the bounds in time are ours, and a statement that the server cancels while it waits for a standby
    /// would count as committed.
    ///
    /// A prepared statement's plan is kept: one that was made while the log was short must not pass over all of it when it is long,
    /// so passes over tables are ruled out where there is an index.
    private static let sessionSettings = Statement(
        """
        select set_config(s.name, v.value, false) from pg_settings s join (values
          ('statement_timeout', '0'), ('lock_timeout', '0'), ('idle_session_timeout', '0'), ('transaction_timeout', '0'),
          ('default_transaction_isolation', 'read committed'), ('client_connection_check_interval', '10s'), ('jit', 'off'),
          ('enable_seqscan', 'off'))
          v(name, value) on s.name = v.name
        """)

    private static let backendID = Statement("select pg_backend_pid()::bigint")

    /// Whether a connection pooler is in between: it answers for the server when a connection is made, and makes up the process
    /// id that a client would need to cancel a statement. PgBouncer's modes can't be told apart, and some of them give each
    /// transaction another server connection.
    static func findsPooler(on connection: PostgresConnection, _ settings: LogSettings) throws(LogError) -> Bool {
        let told = Int64(connection.backendID)
        return try connection.run(backendID, within: settings.limits.readLimit).integer(0, 0, as: Int64.self) != told
    }

    /// Throws `serverTooOld`, `notWritable` or `unsafeDurability` where the log must not be used.
    static func run(on connection: PostgresConnection, _ settings: LogSettings, isPooled: Bool) throws(LogError) {
        guard connection.serverVersion >= oldestVersion else {
            throw LogError.serverTooOld(version: connection.serverVersion)
        }
        let limit = settings.limits.readLimit
        if try connection.run(isStandby, within: limit).boolean(0, 0) {
            throw LogError.notWritable("it is a standby; name the primary, or several hosts and target_session_attrs=read-write")
        }
        if !isPooled { _ = try connection.run(sessionSettings, within: limit) }
        let result = try connection.run(readSettings, within: limit)
        for row in 0..<result.rowCount {
            let (name, value) = (result.text(row, 0), result.text(row, 1))
            if name == "transaction_read_only" {
                if value == "on" { throw LogError.notWritable("transactions are read-only (default_transaction_read_only)") }
            } else if value == "off" && !settings.allowsUnsafeDurability {
                throw LogError.unsafeDurability(setting: name, value: value)
            }
        }
    }
}
