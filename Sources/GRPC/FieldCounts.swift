// Owns: how many of a loop's calls came with which value of one header field.
// Must never: grow with what clients send: values beyond the limit, and odd ones, count as one.

final class FieldCounts {
    /// Up to fifteen bytes and their number.
    private struct Short: Equatable {
        var low: UInt64 = 0
        var high: UInt64 = 0
    }

    private struct Row {
        var value = Short()
        var unary = 0
        var streams = 0
    }

    private static let valueLimit = 16
    private static let lengthLimit = 15
    private static let (absent, other, firstValue) = (0, 1, 2)

    /// Calls without the field, those with other values, and then one a value.
    private let rows: UnsafeMutablePointer<Row>
    private var rowCount = FieldCounts.firstValue

    init() {
        let capacity = FieldCounts.firstValue + FieldCounts.valueLimit
        rows = .allocate(capacity: capacity)
        rows.initialize(repeating: Row(), count: capacity)
    }

    deinit { rows.deallocate() }

    /// A call has begun; `value` is nil where it came without the field.
    @inline(__always)
    func started(_ value: UnsafeRawBufferPointer?, isUnary: Bool) {
        let row = rows + (value.map { index(of: $0) } ?? FieldCounts.absent)
        if isUnary { row.pointee.unary += 1 } else { row.pointee.streams += 1 }
    }

    private func index(of value: UnsafeRawBufferPointer) -> Int {
        guard (1...FieldCounts.lengthLimit).contains(value.count) else { return FieldCounts.other }
        var short = Short()
        withUnsafeMutableBytes(of: &short) {
            $0.copyMemory(from: value)
            $0[FieldCounts.lengthLimit] = UInt8(value.count)
        }
        // Nearly always the first: a cluster's clients are of one version.
        for index in FieldCounts.firstValue..<rowCount where rows[index].value == short { return index }
        guard rowCount < FieldCounts.firstValue + FieldCounts.valueLimit, value.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            return FieldCounts.other
        }
        rows[rowCount].value = short
        rowCount += 1
        return rowCount - 1
    }

    var snapshot: [GRPCCounters.FieldValue] {
        (0..<rowCount).map { index in
            let value: GRPCCounters.FieldValue.Value =
                switch index {
                case FieldCounts.absent: .absent
                case FieldCounts.other: .other
                default: .text(FieldCounts.text(rows[index].value))
                }
            return GRPCCounters.FieldValue(value: value, unary: rows[index].unary, streams: rows[index].streams)
        }
    }

    private static func text(_ short: Short) -> String {
        withUnsafeBytes(of: short) { String(decoding: $0.prefix(Int($0[lengthLimit])), as: UTF8.self) }
    }
}
