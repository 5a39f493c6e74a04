// Owns: chance in tests. Must never: be drawn from anywhere else, or a failure could not be played again.
internal import Foundation

/// The numbers that follow from a seed, the same on every machine (SplitMix64: Steele, Lea and Flood, OOPSLA 2014).
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

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
