// Owns: how the log fails, and which failures pass by themselves.

/// Why something could not be asked of PostgreSQL.
package enum LogError: Error, Hashable, Sendable {
    /// No connection could be made. Nothing was asked.
    case unreachable(String)
    /// libpq can't read the connection string.
    case badConnectionString(String)
    /// The connection went away, or its deadline passed, while a statement ran: its outcome is unknown.
    case lost(String)
    /// The server answered with an error: the statement had no effect. `state` is the SQLSTATE, five characters.
    case refused(state: String, message: String)
    /// The server is a standby, or its transactions are read-only, so that nothing can be appended now.
    case notWritable(String)
    /// A setting of the server lets acknowledged commits vanish.
    case unsafeDurability(setting: String, value: String)
    /// `version` is PostgreSQL's server_version_num, below 130000.
    case serverTooOld(version: Int)
    /// A later Pine has changed the tables in a way that this one does not know.
    case schemaTooNew(found: Int, known: Int)
    /// The tables are missing or older than this Pine, and it was told not to change them, or may not.
    case schemaTooOld(found: Int, known: Int)
    /// The server said something that our statements can't give.
    case malformed(String)
    /// The caller gave up waiting because the log is being closed.
    case closed

    /// Whether the server is there, and turned us away for what an operator has to put right: the password, the name of the role or
    /// the database, the server's own rules. While a process starts that is a mistake; while it serves, it may pass.
    package var isRejection: Bool {
        guard case .unreachable(let reason) = self, !reason.contains("Connection refused"), !isTimeout else { return false }
        return ["password authentication failed", "no password supplied", "no pg_hba.conf entry", "pg_hba.conf rejects"]
            .contains { reason.contains($0) }
            || ["FATAL:  database \"", "FATAL:  role \""].contains { reason.contains($0) } && reason.contains("does not exist")
    }

    /// Whether nobody has answered an attempt to connect, or one of several hosts has not.
    var isTimeout: Bool { if case .unreachable(let reason) = self { reason.contains("timeout expired") } else { false } }

    /// The server said nothing for longer than it may.
    static let noAnswer = LogError.lost("no answer in time")

    /// True where asking again, unchanged, may work: the database is away, restarting, a standby, or busy.
    /// False where an operator has to do something first.
    package var passesByItself: Bool {
        switch self {
        case .unreachable, .lost, .notWritable: true
        case .refused(let state, _): SQLState.isTransient(state)
        case .badConnectionString, .unsafeDurability, .serverTooOld, .schemaTooNew, .schemaTooOld, .malformed, .closed: false
        }
    }
}

/// The SQLSTATEs that we tell apart (PostgreSQL manual, appendix A).
enum SQLState {
    static let uniqueViolation = "23505"
    static let readOnlyTransaction = "25006"
    static let serializationFailure = "40001"
    static let deadlockDetected = "40P01"
    static let insufficientPrivilege = "42501"
    static let lockNotAvailable = "55P03"
    static let programLimitExceeded = "54000"
    static let duplicateTable = "42P07"
    static let duplicateSchema = "42P06"
    static let duplicateObject = "42710"

    /// The server undid the statement because of a concurrent one; the same statement may work now.
    static func isRetryable(_ state: String) -> Bool {
        state == serializationFailure || state == deadlockDetected
    }

    /// Passes by itself: conflicts, resource shortage (53), operator's intervention such as a restart (57), lock timeouts (55),
    /// read-only during a failover.
    static func isTransient(_ state: String) -> Bool {
        isRetryable(state) || state == readOnlyTransaction
            || ["08", "53", "55", "57", "58"].contains(String(state.prefix(2)))
    }
}

extension LogError: CustomStringConvertible {
    /// One line that says what happened and, where an operator can do something, what.
    package var description: String {
        switch self {
        case .unreachable(let reason): "PostgreSQL can't be reached: \(reason)"
        case .badConnectionString(let reason): "the connection string for PostgreSQL is wrong: \(reason)"
        case .lost(let reason): "the connection to PostgreSQL was lost: \(reason)"
        case .refused(SQLState.insufficientPrivilege, let message):
            "PostgreSQL refused: \(message); as the owner of the schema, `pine migrate --grant-to ROLE` gives a role what it needs"
        case .refused(let state, let message): "PostgreSQL refused: \(message) (SQLSTATE \(state))"
        case .notWritable(let reason): "PostgreSQL is not writable now: \(reason)"
        case .unsafeDurability(let setting, let value):
            "PostgreSQL runs with \(setting)=\(value), so writes that were acknowledged could vanish in a crash; "
                + "set \(setting)=on, or give --allow-unsafe-durability if you can bear that"
        case .serverTooOld(let version):
            "PostgreSQL \(version / 10_000) is too old: Pine needs version 13 or newer"
        case .schemaTooNew(let found, let known):
            "the tables are at schema version \(found), but this Pine knows versions up to \(known) only: run a newer Pine"
        case .schemaTooOld(0, _):
            "the schema has no tables of Pine yet: run `pine migrate` as the role that is to own them"
        case .schemaTooOld(let found, let known):
            "the tables are at schema version \(found), but this Pine needs \(known): "
                + "run `pine migrate` as the role that owns the schema"
        case .malformed(let what): "PostgreSQL gave an answer that Pine can't read: \(what)"
        case .closed: "the log is closed"
        }
    }
}
