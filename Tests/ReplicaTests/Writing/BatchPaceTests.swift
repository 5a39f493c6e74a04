import Testing

@testable import Replica

@Suite struct BatchPaceTests {
    private func at(ms: UInt64) -> Instant { Instant(nanoseconds: ms * 1_000_000) }

    @Test("a batch has as many bytes as half a second takes on a slow link, and all that it may on a fast one")
    func bounds() {
        var pace = BatchPace(mostBytes: 4 << 20, leastBytes: 64 << 10)
        #expect(pace.byteLimit == 4 << 20)
        // 1 MiB in 2.5 s.
        pace.appended(bytes: 1 << 20, since: at(ms: 0), now: at(ms: 2_500))
        #expect(pace.byteLimit == (1 << 20) / 5)
        // The next had to wait for it.
        pace.appended(bytes: 1 << 20, since: at(ms: 100), now: at(ms: 5_000))
        #expect(pace.byteLimit == (1 << 20) / 5)
        // Small ones say nothing, and however slow it is some bytes go.
        pace.appended(bytes: 1_000, since: at(ms: 5_000), now: at(ms: 9_000))
        #expect(pace.byteLimit == (1 << 20) / 5)
        pace.appended(bytes: 100_000, since: at(ms: 9_000), now: at(ms: 99_000))
        #expect(pace.byteLimit == 64 << 10)
        pace.appended(bytes: 100_000, since: at(ms: 99_000), now: at(ms: 99_000))
        #expect(pace.byteLimit == 4 << 20)
    }
}
