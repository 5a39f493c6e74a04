// Owns: one PGconn, and the rule that every statement has a bound in time on our side, and every silence of the server another.
// Must never: be touched by another thread than the one that made it; be used after it was lost.
// Invariant: between two calls no statement is under way, and the connection is not in pipeline mode, unless `startBehind` has sent some
// whose outcomes have not been taken: then nothing else may be asked of it.
internal import Bytes
internal import CLibPQ
internal import Glibc
internal import Logging

/// A statement, known by its text, so that it is prepared once on each connection.
struct Statement: Hashable, Sendable {
    let text: String

    init(_ text: String) { self.text = text }

    /// The same wherever it is prepared, and another for each text (FNV-1a): behind a pooler that hides itself, a name must not stand for
    /// what somebody else has prepared.
    var preparedName: String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return "pine_" + String(hash, radix: 16)
    }
}

/// A connection to PostgreSQL, confined to the thread that made it.
final class PostgresConnection {
    private var raw: OpaquePointer?
    private let owner = pthread_self()
    /// Whether statements are prepared: once on each connection, where it is the server's own.
    var prepares: Bool
    /// A descriptor that becomes readable when whoever waits should give up; negative for none.
    private let interrupt: Int32
    /// The names of the statements that this connection has prepared, by their text.
    private var prepared: [String: String] = [:]
    private let notices: Unmanaged<NoticeSink>
    /// How long nothing may come while a statement runs, before the connection counts as lost; nil for as long as the statement
    /// has. A network that swallows what is sent looks like a server that thinks.
    var patience: Duration?
    /// When bytes last went either way.
    private var lastProgress: ContinuousClock.Instant = .now
    /// How many statements `startBehind` has sent whose outcomes have not been taken.
    private(set) var sentAhead = 0
    /// What has arrived of the oldest one's outcome, which is known once the server's mark behind it is here: it commits before that.
    private var arriving: Result<PostgresResult, LogError>?
    /// Hears of statements that take long.
    var slowStatements: SlowStatements?

    /// More would fill the server's memory; statements beyond it run unprepared.
    private static let preparedLimit = 64

    /// Connects, within `connectLimit` for each host, and checks nothing about the server. Throws `unreachable`, `badConnectionString`,
    /// or `closed` once `interrupt` is readable.
    convenience init(conninfo: String, connectLimit: Duration, prepares: Bool, interrupt: Int32, logger: Logger) throws(LogError) {
        let attempt = try ConnectAttempt(conninfo: conninfo, limit: connectLimit)
        while !attempt.hasEnded { try ConnectAttempt.wait(for: [attempt], interrupt: interrupt, nil) }
        try self.init(of: attempt, prepares: prepares, interrupt: interrupt, logger: logger)
    }

    /// The connection that an attempt has made, which has ended, for the thread that calls.
    init(of attempt: ConnectAttempt, prepares: Bool, interrupt: Int32, logger: Logger) throws(LogError) {
        let raw = try attempt.take()
        self.raw = raw
        self.prepares = prepares
        self.interrupt = interrupt
        notices = Unmanaged.passRetained(NoticeSink(logger: logger))
        // Sends that fill the socket must not block past the deadline either.
        PQsetnonblocking(raw, 1)
        _ = PQsetNoticeReceiver(raw, { NoticeSink.receive($0, $1) }, notices.toOpaque())
    }

    deinit {
        if let raw {
            PQfinish(raw)
            notices.release()
        }
    }

    /// Closes now. Every later statement throws `lost`.
    func close() {
        guard let raw else { return }
        PQfinish(raw)
        notices.release()
        self.raw = nil
    }

    var isOpen: Bool { raw.map { PQstatus($0) == CONNECTION_OK } ?? false }

    /// Whether a transaction is open on the server, as it said last; it may have failed.
    var isInTransaction: Bool { raw.map { isOpen && PQtransactionStatus($0) != PQTRANS_IDLE } ?? false }

    /// For poll(2) between statements: readable when a notification or the end of the connection has arrived.
    var socket: Int32 { raw.map { PQsocket($0) } ?? -1 }

    /// server_version_num.
    var serverVersion: Int { raw.map { Int(PQserverVersion($0)) } ?? 0 }

    /// The process id of the server's side of this connection.
    var backendID: Int32 { raw.map { PQbackendPID($0) } ?? 0 }

    // MARK: Statements

    /// Runs one statement and gives its result. Throws `lost` or `refused`.
    func run(_ statement: Statement, _ parameters: Parameters = .none, within limit: Duration) throws(LogError) -> PostgresResult {
        try timed(statement.text) { () throws(LogError) in
            let deadline = Deadline.after(limit)
            try prepare(statement, deadline)
            try send(statement, parameters)
            return try finishStatement(deadline)
        }
    }

    /// Runs `body`, and tells of it where it takes long.
    private func timed<R>(_ text: @autoclosure () -> String, _ body: () throws(LogError) -> R) throws(LogError) -> R {
        guard let slowStatements else { return try body() }
        let start = ContinuousClock.now
        do throws(LogError) {
            let result = try body()
            slowStatements.note(text(), since: start)
            return result
        } catch {
            if error != .closed { slowStatements.note(text(), since: start, error: error) }
            throw error
        }
    }

    /// Sends one statement without waiting for its result, which `finishStatement` gives.
    func start(_ statement: Statement, _ parameters: Parameters = .none, within limit: Duration) throws(LogError) {
        let deadline = Deadline.after(limit)
        try prepare(statement, deadline)
        try send(statement, parameters)
        try flush(deadline)
    }

    /// The result of the statement under way.
    func finishStatement(within limit: Duration) throws(LogError) -> PostgresResult {
        try finishStatement(.after(limit))
    }

    /// Runs several statements in one round trip. Without a `begin` of their own they are one transaction.
    /// Throws what the first that failed threw; then none of those after it ran.
    func runPipeline(
        _ steps: [(statement: Statement, parameters: Parameters)], within limit: Duration
    ) throws(LogError) -> [PostgresResult] {
        try timed(steps.map(\.statement.text).joined(separator: "; ")) { () throws(LogError) in
            try pipelined(steps, .after(limit))
        }
    }

    private func pipelined(
        _ steps: [(statement: Statement, parameters: Parameters)], _ deadline: Deadline
    ) throws(LogError) -> [PostgresResult] {
        for step in steps { try prepare(step.statement, deadline) }
        let raw = try usable()
        guard PQenterPipelineMode(raw) == 1 else { throw lose() }
        for step in steps { try send(step.statement, step.parameters) }
        guard PQpipelineSync(raw) == 1 else { throw lose() }
        var results: [PostgresResult] = []
        var failure: LogError?
        for _ in steps {
            let result = try collect(deadline)
            if let error = Self.error(of: result) {
                if case .lost = error { throw lose(error) }
                failure = failure ?? error
            } else {
                results.append(result)
            }
        }
        // The answer to the sync comes once the transaction is committed, or has failed to.
        guard let last = try nextResult(deadline) else { throw lose() }
        if last.status != PGRES_PIPELINE_SYNC {
            // Committing failed: libpq hands that error out before the sync.
            failure = failure ?? Self.error(of: last) ?? .malformed("pipeline without an end")
            while let rest = try nextResult(deadline), rest.status != PGRES_PIPELINE_SYNC {}
        }
        guard PQexitPipelineMode(raw) == 1 else { throw lose() }
        if let failure { throw failure }
        return results
    }

    // MARK: Ahead of outcomes

    /// Sends a statement that is a transaction of its own, behind those that were sent so before and have not ended: the server begins
    /// with it at once after them. Sends no more than the socket takes; see `sendMore`. What it came to is taken by `takeOutcome`.
    func startBehind(_ statement: Statement, _ parameters: Parameters, within limit: Duration) throws(LogError) {
        let raw = try usable()
        if sentAhead == 0 {
            try prepare(statement, .after(limit))
            guard PQenterPipelineMode(raw) == 1 else { throw lose() }
        }
        try send(statement, parameters)
        guard PQpipelineSync(raw) == 1 else { throw lose() }
        sentAhead += 1
    }

    /// Sends as much more as the socket takes. True where it is full, and more to be sent once it is writable, or readable.
    func sendMore() throws(LogError) -> Bool {
        switch PQflush(try usable()) {
        case 0: return false
        case 1: return true
        default: throw lose()
        }
    }

    /// The outcome of the oldest statement that was sent ahead, if it has arrived. Throws where the connection is lost.
    func takeOutcome() throws(LogError) -> Result<PostgresResult, LogError>? {
        let raw = try usable()
        while sentAhead > 0, PQisBusy(raw) == 0 {
            if let result = PQgetResult(raw) {
                if let outcome = try take(PostgresResult(taking: result)) { return outcome }
            } else {
                try passEndOfResults()
            }
        }
        return nil
    }

    /// The same, waited for.
    func awaitOutcome(within limit: Duration) throws(LogError) -> Result<PostgresResult, LogError> {
        let deadline = Deadline.after(limit)
        while true {
            if let result = try nextResult(deadline) {
                if let outcome = try take(result) { return outcome }
            } else {
                try passEndOfResults()
            }
        }
    }

    /// The end of a statement's results says nothing; on a connection that is gone there would be no end of ends.
    private func passEndOfResults() throws(LogError) {
        guard PQstatus(try usable()) == CONNECTION_OK else { throw lose() }
    }

    /// Takes in a result of the statements that were sent ahead; gives the outcome of one whose last it is.
    private func take(_ result: PostgresResult) throws(LogError) -> Result<PostgresResult, LogError>? {
        if let error = Self.error(of: result) {
            if case .lost = error { throw lose(error) }
            arriving = .failure(error)
            return nil
        }
        guard result.status == PGRES_PIPELINE_SYNC else {
            arriving = arriving ?? .success(result)
            return nil
        }
        guard let outcome = arriving else { throw lose(.malformed("a statement without an outcome")) }
        arriving = nil
        sentAhead -= 1
        if sentAhead == 0 { guard PQexitPipelineMode(try usable()) == 1 else { throw lose() } }
        return outcome
    }

    /// Gives the connection up whose server has not answered in time.
    func giveUp() -> LogError { lose(.noAnswer) }

    /// When it counts as lost if nothing comes; nil for never.
    var silenceEnd: ContinuousClock.Instant? { patience.map { lastProgress.advanced(by: $0) } }

    /// Runs a text of one or more statements without parameters, all in one transaction unless it says otherwise.
    func runScript(_ text: String, within limit: Duration) throws(LogError) {
        let raw = try usable()
        guard PQsendQuery(raw, text) == 1 else { throw lose() }
        lastProgress = .now
        _ = try finishStatement(.after(limit))
    }

    // MARK: Between statements

    /// Reads what has arrived, without waiting. Throws `lost` once the server has closed the connection.
    func readArrived() throws(LogError) {
        let raw = try usable()
        guard PQconsumeInput(raw) == 1, PQstatus(raw) == CONNECTION_OK else { throw lose() }
        lastProgress = .now
    }

    /// The backend id of the sender of the next notification that has arrived.
    func takeNotification() -> Int32? {
        guard let raw, let notification = PQnotifies(raw) else { return nil }
        defer { PQfreemem(notification) }
        return notification.pointee.be_pid
    }

    // MARK: Inside

    private func usable() throws(LogError) -> OpaquePointer {
        // A PGconn belongs to one thread at a time, and here to one thread for good.
        invariant(pthread_equal(owner, pthread_self()) != 0, "a connection was used by another thread than its own")
        guard let raw else { throw LogError.lost("it is closed") }
        return raw
    }

    private func prepare(_ statement: Statement, _ deadline: Deadline) throws(LogError) {
        guard prepares, prepared[statement.text] == nil, prepared.count < Self.preparedLimit else { return }
        let raw = try usable()
        let name = statement.preparedName
        guard PQsendPrepare(raw, name, statement.text, 0, nil) == 1 else { throw lose() }
        lastProgress = .now
        _ = try finishStatement(deadline)
        prepared[statement.text] = name
    }

    private func send(_ statement: Statement, _ parameters: Parameters) throws(LogError) {
        let raw = try usable()
        let name = prepared[statement.text]
        let sent = parameters.withPointers { count, values, lengths, formats in
            if let name {
                PQsendQueryPrepared(raw, name, count, values, lengths, formats, 1)
            } else {
                PQsendQueryParams(raw, statement.text, count, nil, values, lengths, formats, 1)
            }
        }
        guard sent == 1 else { throw lose() }
        lastProgress = .now
    }

    /// The last result of the statements under way, or the first error.
    private func finishStatement(_ deadline: Deadline) throws(LogError) -> PostgresResult {
        var last: PostgresResult?
        var failure: LogError?
        while let result = try nextResult(deadline) {
            if let error = Self.error(of: result) {
                failure = failure ?? error
            } else {
                last = result
            }
        }
        if let failure {
            if case .lost = failure { throw lose(failure) }
            throw failure
        }
        guard let last else { throw lose() }
        return last
    }

    /// The one result of a step of a pipeline, and the end mark behind it.
    private func collect(_ deadline: Deadline) throws(LogError) -> PostgresResult {
        guard let result = try nextResult(deadline) else { throw lose() }
        while try nextResult(deadline) != nil {}
        return result
    }

    private func nextResult(_ deadline: Deadline) throws(LogError) -> PostgresResult? {
        let raw = try usable()
        try flush(deadline)
        while PQisBusy(raw) == 1 {
            try wait(for: Int16(POLLIN), deadline)
            guard PQconsumeInput(raw) == 1 else { throw lose() }
        }
        return PQgetResult(raw).map { PostgresResult(taking: $0) }
    }

    private func flush(_ deadline: Deadline) throws(LogError) {
        let raw = try usable()
        while true {
            switch PQflush(raw) {
            case 0: return
            case 1:
                // The server may have to get rid of answers before it reads on.
                if try wait(for: Int16(POLLIN | POLLOUT), deadline) & Int16(POLLIN) != 0 {
                    guard PQconsumeInput(raw) == 1 else { throw lose() }
                }
            default: throw lose()
            }
        }
    }

    @discardableResult
    private func wait(for events: Int16, _ statementDeadline: Deadline) throws(LogError) -> Int16 {
        var deadline = statementDeadline
        if let patience { deadline = min(deadline, Deadline(instant: lastProgress.advanced(by: patience))) }
        var entries = (
            pollfd(fd: socket, events: events, revents: 0), pollfd(fd: interrupt, events: Int16(POLLIN), revents: 0)
        )
        while true {
            // poll(2) passes over negative descriptors.
            let ready = withUnsafeMutablePointer(to: &entries) {
                $0.withMemoryRebound(to: pollfd.self, capacity: 2) { poll($0, 2, deadline.pollTimeoutMs) }
            }
            if entries.1.revents != 0 { throw lose(.closed) }
            if ready > 0 {
                lastProgress = .now
                return entries.0.revents
            }
            if ready == 0 && deadline.hasPassed { throw lose(.noAnswer) }
            if ready < 0 && errno != EINTR { throw lose(.lost("poll failed with errno \(errno)")) }
        }
    }

    /// Closes the connection and says why it was lost.
    private func lose(_ error: LogError? = nil) -> LogError {
        let reason = raw.map { oneLine(PQerrorMessage($0)) } ?? ""
        close()
        return error ?? .lost(reason.isEmpty ? "the server closed it" : reason)
    }

    /// What a result says about the statement, nil for success.
    private static func error(of result: PostgresResult) -> LogError? {
        switch result.status {
        case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY, PGRES_PIPELINE_SYNC: return nil
        case PGRES_PIPELINE_ABORTED: return .malformed("a statement before it failed")
        default: break
        }
        // Without a SQLSTATE it is libpq that speaks, about the connection. FATAL and PANIC end the session, perhaps after a
        // commit whose replication was being waited for; 08 and 40003 leave the outcome open by definition.
        guard let state = result.errorField("C"), let severity = result.errorField("V"),
            severity == "ERROR", !state.hasPrefix("08"), state != "40003"
        else { return .lost(result.errorMessage) }
        let message = result.errorField("M") ?? result.errorMessage
        if state == SQLState.readOnlyTransaction { return .notWritable(message) }
        return .refused(state: state, message: message)
    }
}

/// Where the server's notices and warnings go: libpq's own place is standard error.
private final class NoticeSink {
    private let logger: Logger

    init(logger: Logger) { self.logger = logger }

    static func receive(_ context: UnsafeMutableRawPointer?, _ result: OpaquePointer?) {
        guard let context else { return }
        let sink = Unmanaged<NoticeSink>.fromOpaque(context).takeUnretainedValue()
        let message = oneLine(PQresultErrorMessage(result))
        let severity = PQresultErrorField(result, Int32(UInt8(ascii: "V"))).map { String(cString: $0) }
        if severity == "WARNING" {
            sink.logger.warning("PostgreSQL warns", metadata: ["message": "\(message)"])
        } else {
            sink.logger.debug("PostgreSQL notes", metadata: ["message": "\(message)"])
        }
    }
}
