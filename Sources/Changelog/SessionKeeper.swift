// Owns: a worker's session, and when the next attempt to make one is due.
// Must never: try to connect more often than the backoff says, except when asked for a fresh session at once.
// Invariant: patience lies between what `LogLimits` begins with and `recoverLimit`: a server that was once too slow is given more
// time, one that has answered often less again, as long as its silences before these answers leave room for that. So it is with attempts to connect, apart from it: that nobody answers these says
// nothing about how long statements take. A silence after which attempts to connect got no answer either, and then one got it at once,
// was the network's.
internal import Logging
internal import Synchronization

/// How often several threads together have found another server, or one that had been out of reach.
final class SessionCount: Sendable {
    private let count = Atomic<UInt64>(0)

    var value: UInt64 { count.load(ordering: .acquiring) }

    func increment() { count.wrappingAdd(1, ordering: .releasing) }
}

struct SessionKeeper {
    private let worker: String
    private let settings: LogSettings
    private let logger: Logger
    private let outage: Outage
    private let wire: TripWire
    let metrics: LogMetrics
    private let slowStatements: SlowStatements?
    private let load: LinkLoad
    /// Counts what this one finds among what others do.
    private let count: SessionCount?
    /// Whether to count that the server was out of reach for long: what is asked on these sessions had to wait.
    private let countsOutages: Bool
    /// Whether its sessions say soon that another process has a lock.
    private let limitsLockWaits: Bool
    /// When the server of the last session was started, where it told.
    private var serverStart: Int64?
    /// Since when nothing has worked.
    private var lostSince: ContinuousClock.Instant?
    /// The longest silence before one of the answers in a row.
    private var longestSilence = Duration.zero
    private var backoff = Backoff(first: .milliseconds(50), most: .seconds(1))
    private(set) var patience: Duration
    private var answersInARow = 0
    /// When a session was lost whose server said nothing, and there has been none since.
    private var silentSince: ContinuousClock.Instant?
    /// How long is waited for a connection before it is told that there is none.
    private var connectLimit: Duration
    private(set) var session: LogSession?
    private var connector: Connector
    /// When the wait for a connection began that came to nothing; nil where something else failed.
    private var waitedSince: ContinuousClock.Instant?
    private var nextAttempt: ContinuousClock.Instant = .now
    /// Whether the operator was told that this worker can't work, and not yet that it can again. Then its owner makes a session even
    /// if nothing is to be done: otherwise an outage would last, for whoever looks at it, until somebody wants something.
    private(set) var isMissed = false

    init(
        worker: String, settings: LogSettings, logger: Logger, outage: Outage, wire: TripWire, metrics: LogMetrics, pace: ConnectPace,
        load: LinkLoad = LinkLoad(), slowStatements: SlowStatements? = nil, count: SessionCount? = nil, countsOutages: Bool = false,
        limitsLockWaits: Bool = false
    ) {
        self.load = load
        self.countsOutages = countsOutages
        self.limitsLockWaits = limitsLockWaits
        self.metrics = metrics
        self.slowStatements = slowStatements
        self.count = count
        self.worker = worker
        self.settings = settings
        self.logger = logger
        self.outage = outage
        self.wire = wire
        connector = Connector(pace: pace)
        patience = settings.limits.patience
        connectLimit = Self.firstConnectLimit(settings)
    }

    private static func firstConnectLimit(_ settings: LogSettings) -> Duration {
        min(settings.limits.connectLimit, settings.limits.patience)
    }

    /// After so many answers the server is fast enough for less patience.
    private static let answersUntilFast = 16
    /// A server that was out of reach for this long may have kept clients from keeping their leases alive.
    private static let outageLimit = Duration.seconds(1)

    /// -1 without a session.
    var socket: Int32 { session?.connection.socket ?? -1 }

    /// How long until a session may be asked for again; zero where there is one.
    var untilNextAttempt: Duration {
        session != nil ? .zero : max(.zero, ContinuousClock.now.duration(to: nextAttempt))
    }

    /// The session, or a new one. The caller tells how it went, by `worked` or `failed`.
    mutating func ready() throws(LogError) -> LogSession {
        if let session, session.isOpen { return session }
        session = nil
        let limit = connectLimit
        let start = ContinuousClock.now
        let fresh: LogSession
        do throws(LogError) {
            let connection = try connector.connect(settings, within: limit, interrupt: wire.descriptor, logger: logger)
            connected()
            connection.load = load
            var settings = settings
            if outage.hiddenPooler.isFound { settings.transactionPooling = true }
            fresh = try LogSession(on: connection, settings, patience: patience, logger: logger)
            try outage.timelines.use(ServerCheck.timeline(on: fresh.connection, settings))
            if limitsLockWaits { try fresh.limitLockWaits() }
            if let count, try meetsAnother(fresh) { count.increment() }
        } catch {
            waitedSince = start
            if error != .closed { metrics.failed(.connect) }
            if error.isTimeout { connectLimit = min(connectLimit * 2, settings.limits.connectLimit) }
            throw error
        }
        metrics.connected(since: start)
        fresh.connection.slowStatements = slowStatements
        // What it took to set the session up says nothing about how long answers take.
        _ = fresh.connection.takeLongestSilence()
        session = fresh
        return fresh
    }

    /// Whether the new session may be to another server than the last, or to the same one after clients could not reach it. A session that
    /// is lost alone is neither.
    private mutating func meetsAnother(_ fresh: LogSession) throws(LogError) -> Bool {
        let start = try fresh.serverStart()
        defer { serverStart = start }
        let wasAway = countsOutages && lostSince.map { $0.duration(to: .now) >= Self.outageLimit } ?? false
        return start == nil || start != serverStart || wasAway
    }

    /// There is a connection again. Whether the server or the network was at fault shows by how it came about.
    private mutating func connected() {
        connectLimit = Self.firstConnectLimit(settings)
        guard let silentSince else { return }
        self.silentSince = nil
        let interval = settings.limits.connectInterval
        guard connector.connectTime >= interval / 2 || silentSince.duration(to: .now) < interval else { return }
        answersInARow = 0
        longestSilence = .zero
        patience = min(patience * 2, settings.limits.recoverLimit)
    }

    /// The session works: it has answered.
    mutating func worked() {
        backoff.reset()
        isMissed = false
        lostSince = nil
        outage.back(worker)
        answersInARow += 1
        if let session { longestSilence = max(longestSilence, session.connection.takeLongestSilence()) }
        guard answersInARow == Self.answersUntilFast else { return }
        answersInARow = 0
        defer { longestSilence = .zero }
        // A link that is slow must not be dropped again and again.
        guard longestSilence <= patience / 4 else { return }
        patience = max(patience / 2, settings.limits.patience)
        session?.patience = patience
    }

    /// Connecting or an operation failed: sets the time of the next attempt. A session whose connection is gone is dropped.
    mutating func failed(_ error: LogError) {
        if outage.hiddenPooler.isGivenAway(by: error) { session?.close() }
        if session?.isOpen != true { session = nil }
        if error == .noAnswer { silentSince = silentSince ?? .now }
        lostSince = lostSince ?? (error == .noAnswer ? .now.advanced(by: .zero - patience) : .now)
        // Whoever has waited for long need not pause, too.
        nextAttempt = (waitedSince ?? .now).advanced(by: backoff.next())
        waitedSince = nil
        guard error != .closed else { return }
        isMissed = true
        outage.lost(worker, error)
    }

    /// The same, of an operation on a session that is counted; connection attempts are counted where they are made.
    mutating func failed(_ operation: LogOperation, _ error: LogError) {
        if session != nil && error != .closed { metrics.failed(operation) }
        failed(error)
    }

    mutating func drop() {
        session?.close()
        session = nil
    }

    /// Waits until the next attempt is due; false where the log is being closed.
    func waitForNextAttempt() -> Bool {
        !wire.wait(max(.zero, ContinuousClock.now.duration(to: nextAttempt)))
    }
}
