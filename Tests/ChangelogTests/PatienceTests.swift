import Keyspace
import TestSupport
import Testing

@testable import Changelog

/// How soon a network that swallows what is sent is told from a server that thinks.
@Suite(.ownThreads) struct PatienceTests {
    private static func throughProxy() throws -> (FaultyProxy, LogSettings) {
        let server = try PostgresServer.shared()
        var settings = try freshSettings()
        let proxy = try FaultyProxy(to: server.port)
        settings.conninfo = settings.conninfo.replacing(":\(server.port)/", with: ":\(proxy.port)/")
        return (proxy, settings)
    }

    @Test("a server that says nothing is given up long before its statement's limit; one that is slow is not")
    func silence() throws {
        let (proxy, settings) = try Self.throughProxy()
        let session = try LogSession(settings, patience: .seconds(2), logger: quiet)
        try proxy.set(.delayed(.milliseconds(50)))
        #expect(try session.readHead().position == .start)
        try proxy.set(.swallowed)
        let started = ContinuousClock.now
        #expect(throws: LogError.noAnswer) { try session.readHead() }
        #expect(started.duration(to: .now) < settings.limits.readLimit / 2)
        #expect(!session.isOpen)
        // Without patience only the limit counts, here a short one.
        try proxy.set(.flowing)
        var impatient = settings
        impatient.limits.readLimit = .milliseconds(300)
        let other = try LogSession(impatient, logger: quiet)
        try proxy.set(.stalled)
        #expect(throws: LogError.noAnswer) { try other.readHead() }
    }

    private static func keeper(_ settings: LogSettings) -> SessionKeeper {
        SessionKeeper(
            worker: "test", settings: settings, logger: quiet, outage: Outage(logger: quiet, metrics: LogMetrics()), wire: TripWire(),
            metrics: LogMetrics(), pace: ConnectPace())
    }

    @Test("a silence that was the server's doubles the patience up to a bound; many answers halve it")
    func growth() throws {
        let (proxy, reachable) = try Self.throughProxy()
        var settings = reachable
        settings.limits.patience = .milliseconds(100)
        settings.limits.recoverLimit = .milliseconds(350)
        // An hour without an answer would be the network's.
        settings.limits.connectInterval = .seconds(3600)
        var slow = Self.keeper(settings)
        func connect() throws {
            // While the machine is busy, connecting may take too long, too.
            try eventuallyBlocking("a connection") {
                do throws(LogError) {
                    return try slow.ready().isOpen
                } catch {
                    slow.failed(error)
                    return false
                }
            }
        }
        for _ in 0..<3 {
            try connect()
            try proxy.set(.swallowed)
            #expect(throws: LogError.noAnswer) { try slow.ready().readHead() }
            slow.failed(.noAnswer)
            let before = slow.patience
            try proxy.set(.flowing)
            try connect()
            #expect(slow.patience == min(before * 2, .milliseconds(350)))
        }
        #expect(slow.patience == .milliseconds(350))
        for _ in 0..<16 { slow.worked() }
        #expect(slow.patience == .milliseconds(175))
        for _ in 0..<16 { slow.worked() }
        #expect(slow.patience == .milliseconds(100))
    }

    @Test("a link whose answers take nearly as long as one is patient does not cost patience, however many there are")
    func slowAnswers() throws {
        let (proxy, reachable) = try Self.throughProxy()
        var settings = reachable
        settings.limits.patience = .milliseconds(600)
        settings.limits.connectInterval = .seconds(3600)
        var keeper = Self.keeper(settings)
        _ = try keeper.ready()
        try proxy.set(.swallowed)
        #expect(throws: LogError.noAnswer) { try keeper.ready().readHead() }
        keeper.failed(.noAnswer)
        try proxy.set(.flowing)
        try eventuallyBlocking("a connection") { (try? keeper.ready()) != nil }
        #expect(keeper.patience == .milliseconds(1_200))
        try proxy.set(.delayed(.milliseconds(160)))
        for _ in 0..<16 {
            _ = try keeper.ready().readHead()
            keeper.worked()
        }
        #expect(keeper.patience == .milliseconds(1_200))
    }

    @Test("a network that swallows attempts to connect, too, doesn't make anybody patient with the server")
    func networkAway() throws {
        let (proxy, reachable) = try Self.throughProxy()
        var settings = reachable
        settings.limits.patience = .seconds(2)
        settings.limits.connectInterval = .seconds(4)
        var keeper = Self.keeper(settings)
        let session = try keeper.ready()
        try proxy.set(.swallowed)
        #expect(throws: LogError.noAnswer) { try session.readHead() }
        keeper.failed(.noAnswer)
        let lost = ContinuousClock.now
        while lost.duration(to: .now) < settings.limits.connectInterval {
            #expect(throws: LogError.self) { try keeper.ready() }
        }
        try proxy.set(.flowing)
        try eventuallyBlocking("a connection") { (try? keeper.ready()) != nil }
        #expect(keeper.patience == .seconds(2))
    }

    /// What is sent is lost, and attempts to connect wait for a minute.
    private static func swallowed(interval: Duration) throws -> (FaultyProxy, LogSettings) {
        var (proxy, settings) = try throughProxy()
        settings.conninfo += "?connect_timeout=60"
        settings.limits.connectInterval = interval
        try proxy.set(.swallowed)
        return (proxy, settings)
    }

    @Test("a network that has healed is noticed while attempts to connect still wait that it had swallowed")
    func attemptsSideBySide() throws {
        let (proxy, settings) = try Self.swallowed(interval: .milliseconds(200))
        let pace = ConnectPace()
        var (one, other) = (Connector(pace: pace), Connector(pace: pace))
        let began = ContinuousClock.now
        // What has no outcome yet is no reason to wait for longer than one was told to.
        let nothing = LogError.unreachable("timeout expired: no answer to an attempt to connect within 10ms")
        #expect(throws: nothing) { try one.connect(settings, within: .milliseconds(10), interrupt: -1, logger: quiet) }
        #expect(throws: nothing) { try other.connect(settings, within: .milliseconds(10), interrupt: -1, logger: quiet) }
        try proxy.set(.flowing)
        let connection = try one.connect(settings, within: .seconds(60), interrupt: -1, logger: quiet)
        _ = try connection.run(Statement("select 1"), within: .seconds(10))
        // The other need not wait for an interval of its own.
        let another = try other.connect(settings, within: .seconds(60), interrupt: -1, logger: quiet)
        _ = try another.run(Statement("select 1"), within: .seconds(10))
        #expect(began.duration(to: .now) < .seconds(30))
    }

    @Test("however many threads want a connection, and however long nothing comes through, only a few attempts are under way")
    func fewAttempts() throws {
        let (proxy, settings) = try Self.swallowed(interval: .milliseconds(10))
        let wire = TripWire()
        let answer = Answer<Bool>()
        let thread = WorkerThread(name: "connector") {
            var connector = Connector(pace: ConnectPace())
            answer.fill { try connector.connect(settings, within: .seconds(60), interrupt: wire.descriptor, logger: quiet).isOpen }
        }
        try eventuallyBlocking("five attempts") { try proxy.connectionCount == 5 }
        // Whoever closes the log need not wait.
        wire.trip()
        thread.join()
        #expect(throws: LogError.closed) { try answer.get() }
        #expect(try proxy.connectionCount == 5)
    }

    @Test("while nothing is answered, all threads together begin one attempt an interval; after an answer each begins one at once")
    func pace() {
        let pace = ConnectPace()
        let now = ContinuousClock.now
        let (long, none) = (Duration.seconds(3600), Duration.zero)
        #expect(pace.begin(after: nil, interval: long))
        #expect(pace.begin(after: nil, interval: long))
        #expect(!pace.begin(after: now, interval: long))
        // The own one has waited for long enough: that is silence, for others too.
        #expect(!pace.begin(after: now.advanced(by: .seconds(-4_000)), interval: long))
        #expect(!pace.begin(after: nil, interval: long))
        #expect(pace.begin(after: nil, interval: none))
        pace.ended(now.advanced(by: .seconds(-1)), hasAnswer: true)
        pace.ended(now.advanced(by: .seconds(-2)), hasAnswer: false)
        #expect(pace.begin(after: nil, interval: long))
        #expect(!pace.begin(after: now, interval: long))
        #expect(pace.begin(after: now.advanced(by: .seconds(-2)), interval: long))
        pace.ended(now, hasAnswer: false)
        #expect(!pace.begin(after: nil, interval: long))
    }
}
