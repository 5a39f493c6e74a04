// Owns: which JSON numbers are integers, and which one: `1e0` and `1.0` are 1. As protojson of Go has it, its bound on digits too.

/// A number of JSON's grammar that is an integer of at most 64 bits and a sign.
struct IntegerText {
    var isNegative: Bool
    var magnitude: UInt64

    /// Digits that a number without its exponent may have: those of the largest UInt64.
    private static let digitsLimit = 20

    /// nil where it is no integer, or too large.
    init?(_ text: UnsafeRawBufferPointer) {
        var rest = text[...]
        isNegative = rest.first == UInt8(ascii: "-")
        if isNegative { rest = rest.dropFirst() }
        var whole = IntegerText.digits(&rest)
        // A whole part that begins with 0 is 0.
        if whole.first == UInt8(ascii: "0") { whole = whole.dropFirst() }
        var fraction = whole[whole.endIndex...]
        if rest.first == UInt8(ascii: ".") {
            rest = rest.dropFirst()
            fraction = IntegerText.digits(&rest)
            while fraction.last == UInt8(ascii: "0") { fraction = fraction.dropLast() }
        }
        magnitude = 0
        if whole.isEmpty && fraction.isEmpty {
            isNegative = false
            return
        }
        guard let exponent = IntegerText.exponent(rest) else { return nil }
        var zeros = 0
        if exponent >= 0 {
            if fraction.count > exponent || whole.count + exponent > IntegerText.digitsLimit { return nil }
            zeros = exponent - fraction.count
        } else {
            let kept = whole.count + exponent
            if !fraction.isEmpty || kept < 0 { return nil }
            if whole.dropFirst(kept).contains(where: { $0 != UInt8(ascii: "0") }) { return nil }
            whole = whole.prefix(kept)
        }
        for part in [whole, fraction] {
            for byte in part where !appendDigit(byte - UInt8(ascii: "0")) { return nil }
        }
        for _ in 0..<zeros where !appendDigit(0) { return nil }
    }

    private mutating func appendDigit(_ digit: UInt8) -> Bool {
        let (product, isTooLarge) = magnitude.multipliedReportingOverflow(by: 10)
        let (sum, isTooLargeNow) = product.addingReportingOverflow(UInt64(digit))
        magnitude = sum
        return !isTooLarge && !isTooLargeNow
    }

    private static func digits(_ rest: inout Slice<UnsafeRawBufferPointer>) -> Slice<UnsafeRawBufferPointer> {
        let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        rest = rest[digits.endIndex...]
        return digits
    }

    /// 0 where there is none; nil for one beyond 32 bits.
    private static func exponent(_ text: Slice<UnsafeRawBufferPointer>) -> Int? {
        if text.isEmpty { return 0 }
        var rest = text.dropFirst()
        let isNegative = rest.first == UInt8(ascii: "-")
        if isNegative || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
        var value = 0
        for byte in rest {
            value = value * 10 + Int(byte - UInt8(ascii: "0"))
            if value > Int(Int32.max) { return nil }
        }
        return isNegative ? -value : value
    }

    /// As a varint's bits; nil beyond the bounds.
    var int64Bits: UInt64? {
        if isNegative { return magnitude <= 1 << 63 ? 0 &- magnitude : nil }
        return magnitude < 1 << 63 ? magnitude : nil
    }

    var uint64Bits: UInt64? { isNegative && magnitude != 0 ? nil : magnitude }

    var uint32Bits: UInt64? { magnitude <= UInt64(UInt32.max) ? uint64Bits : nil }

    /// An enum's number, sign-extended as the wire has it.
    var int32Bits: UInt64? {
        if isNegative { return magnitude <= 1 << 31 ? 0 &- magnitude : nil }
        return magnitude < 1 << 31 ? magnitude : nil
    }
}
