// Owns: what must be true of a server before the log is used there and while it is, and how a session is set up.
// Run for every connection: after a failover the server behind the same name is another one. What it rests on is looked at again and
// again while a session lasts: settings change under it.

/// What a server says of itself that decides whether acknowledged writes last.
struct ServerState: Hashable, Sendable {
    var isStandby: Bool
    /// Whether new transactions are read-only.
    var isReadOnly: Bool
    /// Settings that are off and must not be, by name, in this order: fsync, full_page_writes.
    var unsafeSettings: [String]
    /// synchronous_standby_names; empty where commits wait for no standby.
    var standbyNames: String
}

enum ServerCheck {
    /// PostgreSQL 13.
    static let oldestVersion = 130_000

    /// Without a table: it is asked every few seconds. Relatives of PostgreSQL lack some of the settings.
    private static let readState = Statement(
        """
        select pg_catalog.pg_is_in_recovery(), coalesce(pg_catalog.current_setting('transaction_read_only', true) = 'on', false),
          coalesce(pg_catalog.current_setting('fsync', true), ''), coalesce(pg_catalog.current_setting('full_page_writes', true), ''),
          coalesce(pg_catalog.current_setting('synchronous_standby_names', true), '')
        """)

    private static let readTimeline = Statement(
        """
        select (select system_identifier from pg_catalog.pg_control_system())::text,
          pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8)
        """)

    /// Nil where the server does not tell: a relative of PostgreSQL, or a provider that forbids the question.
    static func timeline(on connection: PostgresConnection, _ settings: LogSettings) throws(LogError) -> Timeline? {
        do throws(LogError) {
            let result = try connection.run(readTimeline, within: settings.limits.readLimit)
            guard result.rowCount == 1, !result.isNull(0, 0), !result.isNull(0, 1) else { return nil }
            return Timeline(cluster: result.text(0, 0), number: result.text(0, 1))
        } catch {
            guard case .refused = error else { throw error }
            return nil
        }
    }

    /// What a session needs for itself, where the server knows the setting, whatever the server, the database or the role say: none of
    /// these may change what a statement means. What runs long here waits for other writers or for a synchronous standby; the bounds in
    /// time are ours, and a statement that the server cancels while it waits for a standby would count as committed.
    ///
    /// A prepared statement's plan is kept: one that was made while the log was short must not pass over all of it when it is long,
    /// so passes over tables are ruled out where there is an index.
    ///
    /// A session's own synchronous_commit outlasts a reload of the server's settings. What waits for more than `on` stays.
    private static func sessionSettings(pinsCommits: Bool) -> Statement {
        Statement(
            """
            select pg_catalog.set_config(s.name, case when s.name = 'synchronous_commit' and s.setting = 'remote_apply' then s.setting
                else v.value end, false)
              from pg_catalog.pg_settings s join (values
              ('statement_timeout', '0'), ('lock_timeout', '0'), ('idle_session_timeout', '0'), ('transaction_timeout', '0'),
              ('idle_in_transaction_session_timeout', '0'), ('default_transaction_isolation', 'read committed'),
              ('default_transaction_deferrable', 'off'), ('search_path', 'pg_catalog, pg_temp'), ('client_encoding', 'UTF8'),
              ('row_security', 'off'), ('standard_conforming_strings', 'on'), ('client_min_messages', 'notice'),
              ('client_connection_check_interval', '10s'), ('jit', 'off'), ('plan_cache_mode', 'auto'),
              \(pinsCommits ? "('synchronous_commit', 'on')," : "")
              ('enable_seqscan', 'off'), ('enable_indexscan', 'on'))
              v(name, value) on s.name = v.name
            """)
    }

    private static let backendID = Statement("select pg_catalog.pg_backend_pid()::bigint")

    /// Whether a connection pooler is in between: it answers for the server when a connection is made, and makes up the process
    /// id that a client would need to cancel a statement. PgBouncer's modes can't be told apart, and some of them give each
    /// transaction another server connection.
    static func findsPooler(on connection: PostgresConnection, _ settings: LogSettings) throws(LogError) -> Bool {
        let told = Int64(connection.backendID)
        return try connection.run(backendID, within: settings.limits.readLimit).integer(0, 0, as: Int64.self) != told
    }

    /// Sets the session up. Throws `serverTooOld`, `notWritable` or `unsafeDurability` where the log must not be used.
    static func run(on connection: PostgresConnection, _ settings: LogSettings, isPooled: Bool) throws(LogError) -> ServerState {
        guard connection.serverVersion >= oldestVersion else {
            throw LogError.serverTooOld(version: connection.serverVersion)
        }
        let state = try look(on: connection, settings)
        // One that became so while a session lasts still tells where the log ends.
        if state.isReadOnly { throw LogError.notWritable("transactions are read-only (default_transaction_read_only)") }
        if !isPooled {
            let pinned = sessionSettings(pinsCommits: !settings.allowsUnsafeDurability)
            _ = try connection.run(pinned, within: settings.limits.readLimit)
        }
        return state
    }

    /// The same of a session that is set up: whether the log may still be used there.
    static func look(on connection: PostgresConnection, _ settings: LogSettings) throws(LogError) -> ServerState {
        let result = try connection.run(readState, within: settings.limits.readLimit)
        guard result.rowCount == 1 else { throw LogError.malformed("no settings") }
        let state = ServerState(
            isStandby: try result.boolean(0, 0), isReadOnly: try result.boolean(0, 1),
            unsafeSettings: [(2, "fsync"), (3, "full_page_writes")].filter { result.text(0, $0.0) == "off" }.map(\.1),
            standbyNames: result.text(0, 4))
        if state.isStandby {
            throw LogError.notWritable("it is a standby; name the primary, or several hosts and target_session_attrs=read-write")
        }
        if let setting = state.unsafeSettings.first, !settings.allowsUnsafeDurability {
            throw LogError.unsafeDurability(setting: setting, value: "off")
        }
        return state
    }
}
