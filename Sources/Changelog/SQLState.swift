// Owns: the SQLSTATEs that Pine knows, and which of them pass by themselves.

/// The SQLSTATEs that we tell apart (PostgreSQL manual, appendix A).
enum SQLState {
    static let divisionByZero = "22012"
    static let uniqueViolation = "23505"
    static let readOnlyTransaction = "25006"
    static let serializationFailure = "40001"
    static let deadlockDetected = "40P01"
    static let insufficientPrivilege = "42501"
    static let invalidPassword = "28P01"
    static let noSuchDatabase = "3D000"
    static let tooManyConnections = "53300"
    static let noSuchSchema = "3F000"
    static let noSuchTable = "42P01"
    static let noSuchStatement = "26000"
    static let duplicateStatement = "42P05"
    static let lockNotAvailable = "55P03"
    static let programLimitExceeded = "54000"
    static let duplicateTable = "42P07"
    static let duplicateSchema = "42P06"
    static let duplicateObject = "42710"

    /// The server undid the statement because of a concurrent one; the same statement may work now.
    static func isRetryable(_ state: String) -> Bool {
        state == serializationFailure || state == deadlockDetected
    }

    /// A server turns us away until an operator has put something right: the password, the role, the database, the server's own rules.
    static func isRejection(_ state: String) -> Bool {
        state.hasPrefix("28") || state == noSuchDatabase || state == insufficientPrivilege
    }

    /// A prepared statement is missing, or there already, on what we take for the connection that has prepared it, or not.
    static func tellsOfPooler(_ state: String) -> Bool { state == noSuchStatement || state == duplicateStatement }

    /// The SQLSTATE with which each of so many servers has turned an attempt to connect away, by libpq's verbose message; nil where one of
    /// them has not. Of several it is the one that may pass.
    ///
    /// A line is `SEVERITY:  SQLSTATE: message`, after what libpq has to say itself; severity and message are in the server's language
    /// (pqBuildErrorMessage3 in fe-protocol3.c).
    static func ofRejection(by serverCount: Int, verbose message: String) -> String? {
        let states = message.matches(of: #/(?m)^.*?:  ([0-9A-Z]{5}): /#).map { String($0.output.1) }
        guard !states.isEmpty, states.count >= serverCount else { return nil }
        return states.first { !isRejection($0) } ?? states[0]
    }

    /// Passes by itself: conflicts, resource shortage (53), operator's intervention such as a restart (57), lock timeouts (55),
    /// read-only during a failover.
    static func isTransient(_ state: String) -> Bool {
        isRetryable(state) || state == readOnlyTransaction
            || ["08", "53", "55", "57", "58"].contains(String(state.prefix(2)))
    }
}
