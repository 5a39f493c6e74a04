import Bytes
import EtcdAPI
import Glibc
import Keyspace
import Replica
import TestSupport
import Testing

@testable import Changelog

/// Appends that are too large for one statement, and links that are slow for their size.
@Suite(.ownThreads) struct LargeAppendTests {
    private static func throughProxy() throws -> (FaultyProxy, LogSettings) {
        let server = try PostgresServer.shared()
        var settings = try freshSettings()
        let proxy = try FaultyProxy(to: server.port)
        settings.conninfo = settings.conninfo.replacing(":\(server.port)/", with: ":\(proxy.port)/")
        return (proxy, settings)
    }

    /// Settings under which a statement takes little.
    private static func small(_ settings: LogSettings) -> LogSettings {
        var settings = settings
        settings.limits.statementByteLimit = 20_000
        settings.limits.pieceByteLimit = 4_000
        settings.limits.statementRowLimit = 100
        return settings
    }

    @Test("pieces are all rows in their order, within the limits or of a single row")
    func pieces() {
        var writer = Writer(head: Head(clusterID: 1, position: .start, digest: .start, epoch: 0, compactRevision: -1))
        let values = [10, 10, 5_000, 10, 900, 900, 10, 2_000].map { ByteString(repeatElement(0, count: $0)) }
        let rows = writer.batch(values.map { (key: "k", value: $0) }).rows
        let single = AppendPieces(rows, byteLimit: 1 << 20, rowLimit: 100)
        #expect(single.ranges == [0..<8])
        #expect(single.largestBytes > 8_840)
        #expect(AppendPieces(rows, byteLimit: 1 << 20, rowLimit: 3).ranges == [0..<3, 3..<6, 6..<8])
        let cut = AppendPieces(rows, byteLimit: 1_000, rowLimit: 100)
        #expect(cut.ranges == [0..<2, 2..<3, 3..<4, 4..<5, 5..<6, 6..<7, 7..<8])
        #expect(cut.largestBytes > 5_000 && cut.largestBytes < 5_200)
    }

    @Test("rows that don't fit one statement are appended together, with the head's lock and without", arguments: [false, true])
    func together(transactionPooling: Bool) throws {
        var settings = Self.small(try freshSettings())
        settings.transactionPooling = transactionPooling
        let session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead())
        try session.put(writer.batch(count: 250), &writer)
        _ = try session.lockHead()
        try session.put(writer.batch(count: 350), &writer)
        #expect(!session.holdsHeadLock)
        // One row is larger than any piece.
        _ = try session.lockHead()
        try session.put(writer.batch([(key: "a", value: "b"), (key: "c", value: ByteString(repeatElement(7, count: 50_000)))]), &writer)
        try session.put(writer.batch(count: 30, valueSize: 1_500), &writer)
        #expect(try session.everything().rows == writer.rows)
        #expect(try session.readHead() == writer.head)
    }

    @Test("nothing of them is appended where somebody else was there first, or where one of them can't be")
    func notAtAll() throws {
        let settings = Self.small(try freshSettings())
        let session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead())
        let stale = writer.batch(count: 450)
        try session.put(writer.batch(), &writer)
        let tail = Tail(head: writer.head, rows: writer.rows, reachesHead: true)
        #expect(try session.append(stale) == .conflicted(tail))
        _ = try session.lockHead()
        #expect(try session.append(stale) == .conflicted(tail))
        #expect(!session.holdsHeadLock)
        // A row of this position is there already.
        var twice = writer.batch(count: 450)
        twice.rows[420].position = writer.rows[0].position
        #expect(throws: LogError.self) { try session.append(twice) }
        #expect(session.isOpen)
        #expect(try session.everything().rows == writer.rows)
        try session.put(writer.batch(count: 450), &writer)
        #expect(try session.everything().rows == writer.rows)
    }

    @Test("what no message can carry is refused, and nothing traps")
    func tooLarge() throws {
        let session = try LogSession(try freshSettings(), logger: quiet)
        session.connection.messageLimit = 1_000
        var writer = Writer(head: try session.readHead())
        do {
            _ = try session.append(writer.batch(count: 1, valueSize: 2_000))
            Issue.record("sent")
        } catch LogError.refused(let state, _) {
            #expect(state == "54000")
        }
    }

    @Test(
        "an append under the head's lock may take longer to arrive than the server waits for a stalled process", arguments: [false, true])
    func slowUnderTheLock(isOneRow: Bool) throws {
        var (proxy, settings) = try Self.throughProxy()
        settings.limits.lockHoldLimit = .milliseconds(500)
        settings.limits.pieceByteLimit = 32 << 10
        let session = try LogSession(settings, patience: .seconds(2), logger: quiet)
        var writer = Writer(head: try session.readHead())
        // 3 s on the way, where the lock would be taken away after one. Nothing else is done while it is held: this process may be slow.
        let batch = isOneRow ? writer.batch(count: 1, valueSize: 400_000) : writer.batch(count: 200, valueSize: 2_000)
        try proxy.set(.limited(bytesPerSecond: 128 << 10))
        _ = try session.lockHead()
        try session.put(batch, &writer)
        try proxy.set(.flowing)
        #expect(try session.everything().rows == writer.rows)
    }

    @Test("the server waits for as long as an expiry's rows may take to make, though it hears nothing of us meanwhile")
    func busyUnderTheLock() throws {
        var settings = try freshSettings()
        settings.limits.lockHoldLimit = .milliseconds(100)
        let session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead())
        _ = try session.lockHead(expiring: LeaseExpiry(leases: [1], holder: 1, rowCount: 50_000))
        usleep(600_000)
        try session.put(writer.batch(count: 10), &writer)
    }

    @Test("bytes that leave are progress; so is the time that bytes in a proxy need", arguments: [16 << 10, Int.max])
    func slowLink(bufferBytes: Int) throws {
        let (proxy, settings) = try Self.throughProxy()
        let session = try LogSession(settings, patience: .milliseconds(700), logger: quiet)
        var writer = Writer(head: try session.readHead())
        // Two seconds and a half.
        try proxy.set(.limited(bytesPerSecond: 400 << 10, bufferBytes: bufferBytes))
        try session.put(writer.batch(count: 1, valueSize: 1 << 20), &writer)
        #expect(session.connection.load.transferTime == .zero)
        #expect(session.connection.load.rate < 600 * 1024)
        // One that swallows everything is told all the same.
        try proxy.set(.flowing)
        #expect(try session.readHead() == writer.head)
        try proxy.set(.swallowed)
        let started = ContinuousClock.now
        #expect(throws: LogError.noAnswer) { try session.readHead() }
        #expect(started.duration(to: .now) < .seconds(5))
    }

    @Test("what is in flight gives time by the rate that was measured, and none where nothing is")
    func transferTime() {
        let load = LinkLoad()
        #expect(load.transferTime == .zero)
        load.sent(1 << 20)
        #expect(load.transferTime == .seconds(4))
        load.measured(1 << 20, in: .milliseconds(10))
        #expect(load.transferTime == .milliseconds(20))
        // Small statements tell nothing of the rate.
        load.measured(1_000, in: .seconds(10))
        #expect(load.transferTime == .milliseconds(20))
        for _ in 0..<40 { load.measured(1 << 20, in: .seconds(1)) }
        #expect(load.transferTime > .milliseconds(1_990) && load.transferTime <= .seconds(2))
        load.sent(1 << 30)
        #expect(load.transferTime == .seconds(60))
        load.settled((1 << 20) + (1 << 30))
        #expect(load.transferTime == .zero)
    }
}
