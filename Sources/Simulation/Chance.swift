// Owns: chance in a simulated run. Must never: depend on anything but the seed, or a run could not be played again.
internal import Bytes

package struct Chance: Sendable {
    private var words: SplitMix64

    package init(seed: UInt64) { words = SplitMix64(seed: seed) }

    package mutating func next() -> UInt64 { words.next() }

    /// A number in `range`.
    mutating func number(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(next() % UInt64(range.upperBound - range.lowerBound + 1))
    }

    /// True `perMille` times in a thousand.
    mutating func happens(_ perMille: Int) -> Bool { perMille > 0 && number(0...999) < perMille }

    /// One of `choices`, which must not be empty.
    mutating func pick<T>(_ choices: [T]) -> T { choices[number(0...choices.count - 1)] }

    /// A duration around `typical`, in microseconds: mostly less, now and then much more.
    mutating func delay(_ typical: Int) -> Int {
        var microseconds = number(1...max(typical, 1))
        while microseconds < typical * 100, happens(120) { microseconds += number(1...typical * 4) }
        return microseconds
    }
}

/// A hash of what happened in a run, in order: two runs that agree in it were the same.
package struct Fingerprint: Hashable, Sendable, CustomStringConvertible {
    private var state: UInt64 = 0xCBF2_9CE4_8422_2325

    package init() {}

    package mutating func mix(_ word: UInt64) {
        state = (state ^ word) &* 0x9E37_79B9_7F4A_7C15
        state ^= state >> 29
    }

    mutating func mix(_ bytes: ByteString) {
        mix(bytes.count)
        for byte in bytes { mix(UInt64(byte)) }
    }

    mutating func mix(_ number: Int) { mix(UInt64(bitPattern: Int64(number))) }

    package var rawValue: UInt64 { state }

    package var description: String { String(state, radix: 16) }
}
