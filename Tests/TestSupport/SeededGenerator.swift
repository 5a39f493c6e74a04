// Owns: chance in tests. Must never: be drawn from anywhere else, or a failure could not be played again.
internal import Bytes
internal import Foundation

package struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var words: SplitMix64

    package init(seed: UInt64) { words = SplitMix64(seed: seed) }

    package mutating func next() -> UInt64 { words.next() }

    /// True in about `share` of the cases.
    package mutating func chance(_ share: Double) -> Bool { Double.random(in: 0..<1, using: &self) < share }

    /// A number in `range`.
    package mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }

    /// One of `choices`, which must not be empty.
    package mutating func pick<T>(_ choices: [T]) -> T { choices[number(0...choices.count - 1)] }
}

/// A fresh seed, or that of PINE_TEST_SEED. Printed, so that a failure can be played again.
package func testSeed(_ test: String) -> UInt64 {
    let given = ProcessInfo.processInfo.environment["PINE_TEST_SEED"].flatMap { UInt64($0) }
    let seed = given ?? UInt64.random(in: 1...UInt64(Int64.max))
    print("\(test): PINE_TEST_SEED=\(seed)")
    return seed
}
