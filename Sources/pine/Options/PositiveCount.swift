// Owns: a number that must be positive, as flags take it.
import ArgumentParser

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
