// Owns: a time, as flags take it.
import ArgumentParser

/// 500ms, 10s, 5m, 1h30m, 250000ns: as etcd's flags take durations. A bare number counts seconds.
struct Milliseconds: ExpressibleByArgument {
    let count: Int
    private let text: String

    init?(argument: String) {
        // Longer units first where one is the end of another.
        let units = [
            ("ms", 1.0), ("us", 0.001), ("\u{B5}s", 0.001), ("\u{3BC}s", 0.001), ("ns", 1e-6), ("h", 3_600_000.0), ("m", 60_000.0),
            ("s", 1_000.0),
        ]
        var total = 0.0
        var rest = argument[...]
        if let bare = Double(argument), bare >= 0 {
            total = bare * 1_000
            rest = ""
        } else if rest.isEmpty {
            return nil
        }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            rest = rest.dropFirst(digits.count)
            guard let number = Double(digits), let unit = units.first(where: { rest.hasPrefix($0.0) }) else { return nil }
            total += number * unit.1
            rest = rest.dropFirst(unit.0.count)
        }
        guard total < 1e12 else { return nil }
        count = Int(total.rounded())
        text = argument
    }

    /// One that is known to be well-formed.
    init(_ text: String) {
        guard let value = Milliseconds(argument: text) else { fatalError("\(text) is not a duration") }
        self = value
    }

    var defaultValueDescription: String { text }
    var description: String { text }
}
