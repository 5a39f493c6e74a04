// Owns: how the log fails, and which failures pass by themselves.

/// Why something could not be asked of PostgreSQL.
package enum LogError: Error, Hashable, Sendable {
    /// No connection could be made. Nothing was asked.
    case unreachable(String)
    /// A server was there, all servers if several were named, and turned us away. `state` is the SQLSTATE.
    case rejected(state: String, message: String)
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
        if case .rejected(let state, _) = self { SQLState.isRejection(state) } else { false }
    }

    /// Whether nobody has answered an attempt to connect, or one of several hosts has not: libpq's own words, which no server can give.
    var isTimeout: Bool { if case .unreachable(let reason) = self { reason.contains("timeout expired") } else { false } }

    /// Whether a connection pooler was at work that passes itself off as the server.
    package var tellsOfPooler: Bool { if case .refused(let state, _) = self { SQLState.tellsOfPooler(state) } else { false } }

    /// The server said nothing for longer than it may.
    static let noAnswer = LogError.lost("no answer in time")

    /// True where asking again, unchanged, may work: the database is away, restarting, a standby, or busy.
    /// False where an operator has to do something first.
    package var passesByItself: Bool {
        switch self {
        case .unreachable, .rejected, .lost, .notWritable: true
        case .refused(let state, _): SQLState.isTransient(state)
        case .badConnectionString, .unsafeDurability, .serverTooOld, .schemaTooNew, .schemaTooOld, .malformed, .closed: false
        }
    }
}

extension LogError: CustomStringConvertible {
    /// One line that says what happened and, where an operator can do something, what.
    package var description: String {
        switch self {
        case .unreachable(let reason): "PostgreSQL can't be reached: \(reason)"
        case .rejected(let state, let message): "PostgreSQL can't be reached: \(message) (SQLSTATE \(state))"
        case .badConnectionString(let reason): "the connection string for PostgreSQL is wrong: \(reason)"
        case .lost(let reason): "the connection to PostgreSQL was lost: \(reason)"
        case .refused(SQLState.insufficientPrivilege, let message):
            "PostgreSQL refused: \(message); as the owner of the schema, `pine migrate --grant-to ROLE` gives a role what it needs"
        case .refused(let state, let message) where state == SQLState.noSuchTable || state == SQLState.noSuchSchema:
            "the tables of Pine are gone: \(message) (SQLSTATE \(state)); restore them from a backup. Pine looks for them again and again"
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
