// Owns: the meaning of the `grpc-timeout` header.
internal import Bytes

enum GRPCTimeout {
    /// The timeout in nanoseconds, saturating; or what is wrong with it, in the words that Go's gRPC uses.
    /// One to eight digits and a unit: `H`, `M`, `S`, `m`, `u`, `n`.
    static func parse(_ text: UnsafeRawBufferPointer) -> Result<Int64, Malformed> {
        func problem(_ words: String) -> Result<Int64, Malformed> {
            .failure(Malformed(reason: "transport: \(words): \(Quoted.printable(String(decoding: text, as: UTF8.self)))"))
        }
        if text.count < 2 { return problem("timeout string is too short") }
        if text.count > 9 { return problem("timeout string is too long") }
        let unit: Int64
        switch text[text.count - 1] {
        case UInt8(ascii: "H"): unit = 3_600_000_000_000
        case UInt8(ascii: "M"): unit = 60_000_000_000
        case UInt8(ascii: "S"): unit = 1_000_000_000
        case UInt8(ascii: "m"): unit = 1_000_000
        case UInt8(ascii: "u"): unit = 1_000
        case UInt8(ascii: "n"): unit = 1
        default: return problem("timeout unit is not recognized")
        }
        var value: Int64 = 0
        for byte in text.dropLast() {
            guard byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") else {
                return problem("timeout is not a number")
            }
            value = value * 10 + Int64(byte - UInt8(ascii: "0"))
        }
        let (nanoseconds, overflow) = value.multipliedReportingOverflow(by: unit)
        return .success(overflow ? .max : nanoseconds)
    }

    struct Malformed: Error, Equatable {
        var reason: String
    }
}
