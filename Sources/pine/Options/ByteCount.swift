// Owns: a number of bytes, as flags take it.
import ArgumentParser
import Foundation

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
