import Keyspace
import TestSupport
import Testing

@testable import Changelog

/// How soon a network that swallows what is sent is told from a server that thinks.
@Suite struct PatienceTests {
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

    @Test("each silence that was too long doubles the patience up to a bound; many answers halve it")
    func growth() throws {
        let (proxy, reachable) = try Self.throughProxy()
        var settings = reachable
        settings.limits.patience = .milliseconds(100)
        settings.limits.recoverLimit = .milliseconds(350)
        var keeper = SessionKeeper(
            worker: "test", settings: settings, logger: quiet, outage: Outage(logger: quiet, metrics: LogMetrics()), wire: TripWire(),
            metrics: LogMetrics())
        // While the machine is busy, connecting may take too long, too.
        func connect() throws {
            try eventuallyBlocking("a connection") {
                do throws(LogError) {
                    return try keeper.ready().isOpen
                } catch {
                    keeper.failed(error)
                    return false
                }
            }
        }
        for _ in 0..<3 {
            try connect()
            let before = keeper.patience
            try proxy.set(.swallowed)
            do throws(LogError) {
                _ = try keeper.ready().readHead()
                Issue.record("an answer came through")
            } catch {
                keeper.failed(error)
            }
            try proxy.set(.flowing)
            #expect(keeper.patience == min(before * 2, .milliseconds(350)))
        }
        #expect(keeper.patience == .milliseconds(350))
        for _ in 0..<64 { keeper.worked() }
        #expect(keeper.patience == .milliseconds(175))
        for _ in 0..<64 { keeper.worked() }
        #expect(keeper.patience == .milliseconds(100))
    }
}
