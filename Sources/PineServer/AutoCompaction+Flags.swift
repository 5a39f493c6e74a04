// Owns: reading `--auto-compaction-mode` and `--auto-compaction-retention` as etcd reads them (server/embed/etcd.go).
package import Replica

extension ServerConfiguration {
    /// Takes the two flags.
    package mutating func setAutoCompaction(mode: String, retention: String) throws(ServerError) {
        autoCompaction = try AutoCompaction(mode: mode, retention: retention)
    }
}

extension AutoCompaction {
    /// `retention` is a count (of hours or of revisions) or, for periods, a duration as Go writes them: `90m`, `1h30m`.
    package init(mode: String, retention: String) throws(ServerError) {
        let count = Int64(retention)
        switch mode {
        case "periodic":
            var milliseconds = goDurationMs(retention)
            if let count { milliseconds = Double(count) * 3_600_000 }
            guard let milliseconds, milliseconds >= 0, milliseconds < 1e15 else {
                throw ServerError(
                    "--auto-compaction-retention \(retention) is neither a number of hours nor a duration like 30m or 1h30m")
            }
            // What is less than a millisecond is not nothing.
            self = milliseconds == 0 ? .off : .periodic(retentionMs: max(Int(milliseconds), 1))
        case "revision":
            guard let count, count >= 0 else {
                throw ServerError("--auto-compaction-retention \(retention) is not a number of revisions")
            }
            self = count == 0 ? .off : .revision(retention: count)
        default: throw ServerError("--auto-compaction-mode \(mode) is neither periodic nor revision")
        }
    }
}

/// A duration as Go's time.ParseDuration takes it, in milliseconds; nil for what it refuses.
private func goDurationMs(_ text: String) -> Double? {
    let units: [(name: String, ms: Double)] = [
        ("ns", 1e-6), ("us", 1e-3), ("µs", 1e-3), ("μs", 1e-3), ("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000),
    ]
    var rest = text[...]
    let isNegative = rest.hasPrefix("-")
    if isNegative || rest.hasPrefix("+") { rest.removeFirst() }
    if rest == "0" { return 0 }
    guard !rest.isEmpty else { return nil }
    var total = 0.0
    while !rest.isEmpty {
        let number = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        guard let value = Double(number), number != "." else { return nil }
        rest = rest[number.endIndex...]
        let name = rest.prefix { !($0.isASCII && $0.isNumber) && $0 != "." }
        guard let unit = units.first(where: { $0.name == name }) else { return nil }
        total += value * unit.ms
        rest = rest[name.endIndex...]
    }
    return isNegative ? -total : total
}
