// Owns: one PGconn, and the rule that every statement has a bound in time on our side, and every silence of the server another.
// Must never: be touched by another thread than the one that made it; be used after it was lost.
// Invariant: between two calls no statement is under way, and the connection is not in pipeline mode, unless `startBehind` has sent some
// whose outcomes have not been taken: then nothing else may be asked of it.
internal import Bytes
internal import CLibPQ
internal import Glibc
internal import Logging

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
    /// How long nothing may leave and nothing may come while a statement runs, beyond what is in flight, before the connection counts as
    /// lost; nil for as long as the statement has. A network that swallows what is sent looks like a server that thinks.
    var patience: Duration?
    /// What is in flight on the way to the server, on all connections of the process.
    var load = LinkLoad() {
        didSet {
            oldValue.settled(inFlightBytes)
            load.sent(inFlightBytes)
        }
    }
    /// When bytes last left or came.
    private var lastProgress: ContinuousClock.Instant = .now
    /// How much of what was written the other end had not acknowledged when that was looked at last, in bytes.
    private var unacknowledged: Int32 = 0
    /// Whether libpq holds bytes that the socket did not take.
    private var isBlocked = false
    /// The longest time without progress after which an answer came all the same, since `takeLongestSilence` was asked, less what bytes
    /// in flight account for.
    private var longestSilence = Duration.zero
    /// What was sent and is not answered: the statements of `startBehind` one by one, oldest first, all others as one.
    private var inFlight: [(bytes: Int, sentAt: ContinuousClock.Instant)] = []
    /// When a statement was last answered: the next of `startBehind` had to wait for it.
    private var lastAnswered: ContinuousClock.Instant = .now
    private var inFlightBytes: Int { inFlight.reduce(0) { $0 + $1.bytes } }
    /// How many statements `startBehind` has sent whose outcomes have not been taken.
    private(set) var sentAhead = 0
    /// What has arrived of the oldest one's outcome, which is known once the server's mark behind it is here: it commits before that.
    private var arriving: Result<PostgresResult, LogError>?
    /// Hears of statements that take long.
    var slowStatements: SlowStatements?

    /// Parameters of more bytes are refused. Set by tests alone.
    var messageLimit = Parameters.messageLimit

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
        load.settled(inFlightBytes)
        if let raw {
            PQfinish(raw)
            notices.release()
        }
    }

    /// Closes now. Every later statement throws `lost`.
    func close() {
        load.settled(inFlightBytes)
        inFlight = []
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
            try prepare(statement, limit)
            try send(statement, parameters)
            return try finishStatement(within: limit)
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
        try prepare(statement, limit)
        try send(statement, parameters)
        try flush(limit)
    }

    /// Runs several statements in one round trip. Without a `begin` of their own they are one transaction.
    /// Throws what the first that failed threw; then none of those after it ran.
    func runPipeline(
        _ steps: [(statement: Statement, parameters: Parameters)], within limit: Duration
    ) throws(LogError) -> [PostgresResult] {
        try timed(steps.map(\.statement.text).joined(separator: "; ")) { () throws(LogError) in
            try pipelined(steps, limit)
        }
    }

    private func pipelined(
        _ steps: [(statement: Statement, parameters: Parameters)], _ limit: Duration
    ) throws(LogError) -> [PostgresResult] {
        for step in steps { try prepare(step.statement, limit) }
        let raw = try usable()
        guard PQenterPipelineMode(raw) == 1 else { throw lose() }
        for step in steps { try send(step.statement, step.parameters) }
        guard PQpipelineSync(raw) == 1 else { throw lose() }
        var results: [PostgresResult] = []
        var failure: LogError?
        for _ in steps {
            let result = try collect(limit)
            if let error = Self.error(of: result) {
                if case .lost = error { throw lose(error) }
                failure = failure ?? error
            } else {
                results.append(result)
            }
        }
        // The answer to the sync comes once the transaction is committed, or has failed to.
        guard let last = try nextResult(limit) else { throw lose() }
        if last.status != PGRES_PIPELINE_SYNC {
            // Committing failed: libpq hands that error out before the sync.
            failure = failure ?? Self.error(of: last) ?? .malformed("pipeline without an end")
            while let rest = try nextResult(limit), rest.status != PGRES_PIPELINE_SYNC {}
        }
        guard PQexitPipelineMode(raw) == 1 else { throw lose() }
        answered()
        if let failure { throw failure }
        return results
    }

    // MARK: Ahead of outcomes

    /// Sends a statement that is a transaction of its own, behind those that were sent so before and have not ended: the server begins
    /// with it at once after them. Sends no more than the socket takes; see `sendMore`. What it came to is taken by `takeOutcome`.
    func startBehind(_ statement: Statement, _ parameters: Parameters, within limit: Duration) throws(LogError) {
        let raw = try usable()
        if sentAhead == 0 {
            try prepare(statement, limit)
            guard PQenterPipelineMode(raw) == 1 else { throw lose() }
        }
        try send(statement, parameters, isAhead: true)
        guard PQpipelineSync(raw) == 1 else { throw lose() }
        sentAhead += 1
    }

    /// Sends as much more as the socket takes. True where it is full, and more to be sent once it is writable, or readable.
    func sendMore() throws(LogError) -> Bool {
        let raw = try usable()
        noteDepartures()
        let state = PQflush(raw)
        guard state >= 0 else { throw lose() }
        isBlocked = state == 1
        if isBulk { unacknowledged = pine_unacknowledged_bytes(socket) }
        return isBlocked
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
        while true {
            if let result = try nextResult(limit) {
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
        answered()
        if sentAhead == 0 { guard PQexitPipelineMode(try usable()) == 1 else { throw lose() } }
        return outcome
    }

    /// Gives the connection up whose server has not answered in time.
    func giveUp() -> LogError { lose(.noAnswer) }

    /// When it counts as lost if nothing leaves and nothing comes until then. `limit`: how long the statement has where there is no
    /// patience, or more.
    func silenceEnd(within limit: Duration) -> ContinuousClock.Instant {
        let silence = min(patience ?? limit, limit)
        // What has not left yet says by itself whether it gets on; what has left may be anywhere.
        let waits = isBlocked || unacknowledged > 0
        let transfer = load.transferTime
        return lastProgress.advanced(by: silence + (waits ? min(transfer, silence) : transfer))
    }

    /// When to look again whether bytes have left, which wakes nobody: nil where none have to.
    var nextLook: Duration? { isBulk && (isBlocked || unacknowledged > 0) ? Self.lookInterval : nil }

    /// The longest silence before an answer since this was asked last.
    func takeLongestSilence() -> Duration {
        defer { longestSilence = .zero }
        return longestSilence
    }

    /// Runs a text of one or more statements without parameters, all in one transaction unless it says otherwise.
    func runScript(_ text: String, within limit: Duration) throws(LogError) {
        let raw = try usable()
        guard PQsendQuery(raw, text) == 1 else { throw lose() }
        began(bytes: 0)
        _ = try finishStatement(within: limit)
    }

    // MARK: Between statements

    /// Reads what has arrived, without waiting. Throws `lost` once the server has closed the connection.
    func readArrived() throws(LogError) {
        let raw = try usable()
        guard PQconsumeInput(raw) == 1, PQstatus(raw) == CONNECTION_OK else { throw lose() }
        arrived()
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

    private func prepare(_ statement: Statement, _ limit: Duration) throws(LogError) {
        guard prepares, prepared[statement.text] == nil, prepared.count < Self.preparedLimit else { return }
        let raw = try usable()
        let name = statement.preparedName
        guard PQsendPrepare(raw, name, statement.text, 0, nil) == 1 else { throw lose() }
        began(bytes: 0)
        _ = try finishStatement(within: limit)
        prepared[statement.text] = name
    }

    private func send(_ statement: Statement, _ parameters: Parameters, isAhead: Bool = false) throws(LogError) {
        let raw = try usable()
        guard parameters.byteCount <= messageLimit else {
            throw lose(.refused(state: SQLState.programLimitExceeded, message: "\(parameters.byteCount) bytes don't fit one message"))
        }
        let name = prepared[statement.text]
        let sent = parameters.withPointers { count, values, lengths, formats in
            if let name {
                PQsendQueryPrepared(raw, name, count, values, lengths, formats, 1)
            } else {
                PQsendQueryParams(raw, statement.text, count, nil, values, lengths, formats, 1)
            }
        }
        guard sent == 1 else { throw lose() }
        began(bytes: parameters.byteCount, isAhead: isAhead)
    }

    /// The last result of the statement under way, or the first error.
    func finishStatement(within limit: Duration) throws(LogError) -> PostgresResult {
        var last: PostgresResult?
        var failure: LogError?
        while let result = try nextResult(limit) {
            if let error = Self.error(of: result) {
                failure = failure ?? error
            } else {
                last = result
            }
        }
        if let failure {
            if case .lost = failure { throw lose(failure) }
            answered()
            throw failure
        }
        guard let last else { throw lose() }
        answered()
        return last
    }

    /// The one result of a step of a pipeline, and the end mark behind it.
    private func collect(_ limit: Duration) throws(LogError) -> PostgresResult {
        guard let result = try nextResult(limit) else { throw lose() }
        while try nextResult(limit) != nil {}
        return result
    }

    private func nextResult(_ limit: Duration) throws(LogError) -> PostgresResult? {
        let raw = try usable()
        try flush(limit)
        while PQisBusy(raw) == 1 {
            try wait(for: Int16(POLLIN), limit)
            guard PQconsumeInput(raw) == 1 else { throw lose() }
        }
        return PQgetResult(raw).map { PostgresResult(taking: $0) }
    }

    private func flush(_ limit: Duration) throws(LogError) {
        let raw = try usable()
        while try sendMore() {
            // The server may have to get rid of answers before it reads on.
            if try wait(for: Int16(POLLIN | POLLOUT), limit) & Int16(POLLIN) != 0 {
                guard PQconsumeInput(raw) == 1 else { throw lose() }
            }
        }
    }

    @discardableResult
    private func wait(for events: Int16, _ limit: Duration) throws(LogError) -> Int16 {
        while true {
            let end = Deadline(instant: silenceEnd(within: limit))
            var entries = (
                pollfd(fd: socket, events: events, revents: 0), pollfd(fd: interrupt, events: Int16(POLLIN), revents: 0)
            )
            let timeout = nextLook.map { min(Deadline.after($0), end) } ?? end
            // poll(2) passes over negative descriptors.
            let ready = withUnsafeMutablePointer(to: &entries) {
                $0.withMemoryRebound(to: pollfd.self, capacity: 2) { poll($0, 2, timeout.pollTimeoutMs) }
            }
            if entries.1.revents != 0 { throw lose(.closed) }
            if ready > 0 {
                if entries.0.revents & ~Int16(POLLOUT) != 0 { arrived() }
                return entries.0.revents
            }
            if ready < 0 && errno != EINTR { throw lose(.lost("poll failed with errno \(errno)")) }
            noteDepartures()
            if ready == 0 && end.hasPassed && Deadline(instant: silenceEnd(within: limit)).hasPassed { throw lose(.noAnswer) }
        }
    }

    // MARK: Progress

    private static let lookInterval = Duration.milliseconds(100)

    private var isBulk: Bool { isBlocked || inFlight.contains { $0.bytes >= LinkLoad.bulkBytes } }

    /// A statement was handed to libpq.
    private func began(bytes: Int, isAhead: Bool = false) {
        lastProgress = .now
        load.sent(bytes)
        if isAhead || inFlight.isEmpty {
            inFlight.append((bytes, lastProgress))
        } else {
            inFlight[inFlight.count - 1].bytes += bytes
        }
    }

    /// The oldest statement of `startBehind` was answered, or all that was sent otherwise.
    private func answered() {
        guard !inFlight.isEmpty else { return }
        let (bytes, sentAt) = inFlight.removeFirst()
        load.settled(bytes)
        load.measured(bytes, in: max(sentAt, lastAnswered).duration(to: lastProgress))
        lastAnswered = lastProgress
    }

    /// Something has come.
    private func arrived() {
        let now = ContinuousClock.now
        if !inFlight.isEmpty {
            longestSilence = max(longestSilence, lastProgress.duration(to: now) - load.transferTime)
        }
        lastProgress = now
    }

    /// Bytes that the other end has acknowledged since this was looked at have left. Where the kernel took all at once, nothing else
    /// tells that they get on.
    private func noteDepartures() {
        guard isBulk else {
            unacknowledged = 0
            return
        }
        let left = pine_unacknowledged_bytes(socket)
        if left < unacknowledged { lastProgress = .now }
        unacknowledged = left
    }

    /// Closes the connection and says why it was lost.
    private func lose(_ error: LogError? = nil) -> LogError {
        let reason = raw.map { oneLine(PQerrorMessage($0)) } ?? ""
        isBlocked = false
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
