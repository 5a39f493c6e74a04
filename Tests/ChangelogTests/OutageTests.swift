import Logging
import Testing

@testable import Changelog

@Suite struct OutageTests {
    @Test("one line when the first connection is lost, one when all are back")
    func lines() {
        let lines = Lines()
        let outage = Outage(logger: Logger(label: "test") { _ in RecordingHandler(lines: lines) }, metrics: LogMetrics())
        outage.back("append")
        for _ in 0..<3 { outage.lost("append", .lost("gone")) }
        outage.lost("read", .unreachable("refused"))
        outage.back("append")
        #expect(lines.all() == ["warning PostgreSQL is away the connection to PostgreSQL was lost: gone"])
        outage.back("read")
        #expect(lines.all().count == 2)
        #expect(lines.all().last == "notice PostgreSQL is back ")
        outage.back("read")
        outage.lost("read", .serverTooOld(version: 120_004))
        #expect(lines.all().last == "error PostgreSQL is away PostgreSQL 12 is too old: Pine needs version 13 or newer")
    }

    @Test("pauses grow to their bound, never vanish, and start again small")
    func backoff() {
        var backoff = Backoff(first: .milliseconds(50), most: .seconds(2))
        var bound: Duration = .milliseconds(50)
        for _ in 0..<20 {
            let pause = backoff.next()
            #expect(pause <= bound && pause >= bound * 0.09)
            bound = min(bound * 2, .seconds(2))
        }
        backoff.reset()
        #expect(backoff.next() <= .milliseconds(50))
    }
}
