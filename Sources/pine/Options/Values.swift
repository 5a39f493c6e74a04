// Owns: the kinds of values that flags take, beyond numbers and text.
import ArgumentParser
import Foundation

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

/// 1048576, 64MiB, 2GiB, 500MB: a number of bytes.
struct ByteCount: ExpressibleByArgument {
    let count: Int
    private let text: String

    init?(argument: String) {
        let units = [
            ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("KB", 1_000), ("MB", 1_000_000),
            ("GB", 1_000_000_000), ("TB", 1_000_000_000_000), ("B", 1), ("", 1),
        ]
        for (unit, factor) in units where argument.lowercased().hasSuffix(unit.lowercased()) {
            let digits = argument.dropLast(unit.count).trimmingCharacters(in: .whitespaces)
            if unit.isEmpty, let exact = Int(digits), exact >= 0 {
                (count, text) = (exact, argument)
                return
            }
            guard let number = Double(digits), number >= 0, number * Double(factor) < 9e18 else { return nil }
            (count, text) = (Int(number * Double(factor)), argument)
            return
        }
        return nil
    }

    init(_ count: Int) {
        self.count = count
        text = String(count)
    }

    var defaultValueDescription: String { text }
    var description: String { text }
}

/// A whole number from 1 on.
struct PositiveCount: ExpressibleByArgument {
    let count: Int

    init?(argument: String) {
        guard let count = Int(argument), count >= 1 else { return nil }
        self.count = count
    }

    init(_ count: Int) { self.count = count }

    var defaultValueDescription: String { String(count) }
}

/// Addresses, comma-separated.
struct AddressList: ExpressibleByArgument {
    let urls: [String]

    init?(argument: String) {
        urls = argument.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }

    init(_ url: String) { urls = [url] }

    var defaultValueDescription: String { urls.joined(separator: ",") }
}

/// What a value must look like, for the message that says that one doesn't; by the value's name in the help.
let valueForms: [String: String] = [
    "duration": "a duration is like 500ms, 10s, 5m or 1h30m",
    "bytes": "a size is a number of bytes, or like 64MiB or 2GiB",
    "count": "it must be a whole number, at least 1",
    "level": "it is one of trace, debug, info, warn, error",
    "format": "it is text or json",
]
