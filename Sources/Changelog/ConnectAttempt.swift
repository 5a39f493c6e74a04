// Owns: one attempt to connect, on a thread of its own, and what libpq is told for it. Only where it may block does libpq give each of
// several hosts its share of time; whoever waits is not bound to that, nor to a resolver that takes its time.
// Must never: leave a connection behind that nobody wants.
// Invariant: the connection belongs to the attempt's thread until the attempt has ended, then to whoever takes it.
internal import Bytes
internal import CLibPQ
internal import Glibc
internal import Synchronization

final class ConnectAttempt: Sendable {
    /// A PGconn may be given from thread to thread, as long as it has one at a time.
    private struct Raw: @unchecked Sendable {
        let pointer: OpaquePointer
    }

    private enum State {
        case underWay
        case connected(Raw)
        case failed(LogError)
        case taken
    }

    let startedAt = ContinuousClock.now
    private let state = Mutex(State.underWay)
    private let end = TripWire()

    /// Begins to connect; `limit` is for each host. Throws `badConnectionString` where libpq can't read `conninfo`.
    init(conninfo: String, limit: Duration) throws(LogError) {
        let parameters = try Self.parameters(for: conninfo, connectLimit: limit)
        _ = WorkerThread(name: "pine-connect") { [self] in
            let outcome = Self.connect(parameters)
            state.withLock { $0 = outcome }
            end.trip()
        }
    }

    deinit {
        if case .connected(let raw) = state.withLock({ $0 }) { PQfinish(raw.pointer) }
    }

    /// Readable once the attempt has ended.
    var descriptor: Int32 { end.descriptor }

    var hasEnded: Bool { state.withLock { if case .underWay = $0 { false } else { true } } }

    /// The connection, which is the caller's from now on, or why there is none. For once, after the attempt has ended.
    func take() throws(LogError) -> OpaquePointer {
        let ended = state.withLock { state in
            defer { state = .taken }
            return state
        }
        switch ended {
        case .connected(let raw): return raw.pointer
        case .failed(let error): throw error
        case .underWay, .taken: violated("an attempt to connect was taken before its end, or twice")
        }
    }

    /// Waits until one of the attempts has ended or the deadline has passed. Throws `closed` where `interrupt` is readable, which is
    /// negative for none.
    static func wait(for attempts: [ConnectAttempt], interrupt: Int32, _ deadline: Deadline?) throws(LogError) {
        var entries = ([interrupt] + attempts.map(\.descriptor)).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        // An interrupted wait counts as one that is over: the caller looks and waits again.
        _ = poll(&entries, nfds_t(entries.count), deadline?.pollTimeoutMs ?? -1)
        if entries[0].revents != 0 { throw LogError.closed }
    }

    private static func connect(_ parameters: [(keyword: String, value: String)]) -> State {
        let keywords = parameters.map { strdup($0.keyword) }
        let values = parameters.map { strdup($0.value) }
        defer { for copy in keywords + values { free(copy) } }
        let keywordPointers = keywords.map { UnsafePointer($0) } + [nil]
        let valuePointers = values.map { UnsafePointer($0) } + [nil]
        guard let raw = PQconnectdbParams(keywordPointers, valuePointers, 1) else { return .failed(.unreachable("out of memory")) }
        guard PQstatus(raw) == CONNECTION_OK else {
            return failed(raw)
        }
        return .connected(Raw(pointer: raw))
    }

    // MARK: Why there is no connection

    /// The SQLSTATE that a failure turned out to have, by what libpq said of it; nil for one that has none.
    private static let statesOfReasons = Mutex<[String: String?]>([:])
    private static let reasonLimit = 64

    /// Why `raw` could not be connected, or the connection after all. Takes `raw` over.
    ///
    /// Servers speak many languages, so it is the SQLSTATE that tells what they mean. libpq gives that of a failed attempt only as a part
    /// of its text, and only where it was told so before: the attempt is made once more, the first time that a reason is heard.
    private static func failed(_ raw: OpaquePointer) -> State {
        let reason = oneLine(PQerrorMessage(raw))
        let failure = LogError.unreachable(reason)
        if isMistake(reason) || failure.isTimeout {
            PQfinish(raw)
            return .failed(failure.isTimeout ? failure : .badConnectionString(reason))
        }
        if PQconnectionNeedsPassword(raw) != 0 {
            PQfinish(raw)
            return .failed(.rejected(state: SQLState.invalidPassword, message: reason))
        }
        let state: String?
        if let known = statesOfReasons.withLock({ $0[reason] }) {
            state = known
        } else {
            PQsetErrorVerbosity(raw, PQERRORS_VERBOSE)
            PQreset(raw)
            guard PQstatus(raw) != CONNECTION_OK else {
                PQsetErrorVerbosity(raw, PQERRORS_DEFAULT)
                return .connected(Raw(pointer: raw))
            }
            let hostCount = reason.ranges(of: "connection to server ").count
            state = SQLState.ofRejection(by: hostCount, verbose: String(cString: PQerrorMessage(raw)))
            statesOfReasons.withLock { states in
                if states.count >= reasonLimit { states = [:] }
                states[reason] = state
            }
        }
        PQfinish(raw)
        return .failed(state.map { .rejected(state: $0, message: reason) } ?? failure)
    }

    // MARK: What the connection string says, and what it doesn't

    /// Throws `badConnectionString` where libpq can't read it. Says nothing about whether anybody is there.
    static func check(conninfo: String) throws(LogError) { _ = try parameters(for: conninfo, connectLimit: .zero) }

    /// Whether libpq's reason not to connect is a mistake in the settings, which it finds only then. Its own texts, unlike the
    /// server's, are English as long as nobody in this process sets a locale.
    private static func isMistake(_ reason: String) -> Bool {
        ["invalid ", "could not match ", "definition of service ", "service file ", "syntax error in service file "]
            .contains { reason.hasPrefix($0) }
    }

    /// The user's connection string, after our defaults: libpq lets the last of equal keywords win.
    private static func parameters(
        for conninfo: String, connectLimit: Duration
    ) throws(LogError) -> [(keyword: String, value: String)] {
        let conninfo = try ConnectionString(conninfo).text
        var message: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(conninfo, &message) else {
            let reason = oneLine(message)
            PQfreemem(message)
            throw LogError.badConnectionString(reason)
        }
        var given: Set<String> = []
        var option = options
        while let keyword = option.pointee.keyword {
            if option.pointee.val != nil { given.insert(String(cString: keyword)) }
            option += 1
        }
        PQconninfoFree(options)

        var parameters = [
            (keyword: "fallback_application_name", value: "pine"), (keyword: "client_encoding", value: "UTF8"),
        ]
        // A service file may set these too, and libpq lets it set only what nobody else has set: there we stay out of its way.
        if !given.contains("service") && getenv("PGSERVICE") == nil {
            // A peer that vanished is noticed within about 10 s, also between statements.
            parameters += [
                ("keepalives_idle", "5"), ("keepalives_interval", "2"), ("keepalives_count", "3"), ("tcp_user_timeout", "10000"),
            ]
        }
        if getenv("PGCONNECT_TIMEOUT") == nil {
            // libpq counts whole seconds and makes at least 2 of them.
            parameters.append(("connect_timeout", String(max(2, connectLimit.wholeMs / 1000))))
        }
        // Last, so that what the user wrote wins. libpq expands it because it is the first "dbname".
        parameters.append(("dbname", conninfo))
        return parameters
    }
}
