// Tests how durations look in the log.
import Bytes
import Testing

@Suite("Durations for people")
struct DurationTests {
    @Test("Three digits that matter at most, in the unit that people would choose")
    func brief() {
        let cases: [(Duration, String)] = [
            (.zero, "0us"), (.nanoseconds(1_999), "1us"), (.microseconds(999), "999us"), (.microseconds(1_000), "1ms"),
            (.microseconds(1_234), "1.23ms"), (.microseconds(1_005), "1.01ms"), (.microseconds(12_340), "12.3ms"),
            (.microseconds(123_456), "123ms"), (.microseconds(999_499), "999ms"), (.microseconds(999_500), "1s"),
            (.milliseconds(1_250), "1.25s"), (.milliseconds(1_050), "1.05s"), (.nanoseconds(29_202_540_799), "29.2s"),
            (.seconds(10), "10s"),
            (.milliseconds(59_949), "59.9s"), (.milliseconds(59_950), "1m00s"), (.seconds(250), "4m10s"),
            (.milliseconds(3_599_499), "59m59s"),
            (.milliseconds(3_599_500), "1h00m"), (.seconds(11_100), "3h05m"), (.seconds(360_000), "100h00m"),
            (.milliseconds(-1_250), "-1.25s"),
        ]
        for (duration, text) in cases { #expect(duration.brief == text) }
        #expect(Duration.seconds(Int64.max).brief.hasSuffix("h"))
    }
}
