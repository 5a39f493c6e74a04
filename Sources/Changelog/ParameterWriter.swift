// Owns: writing the parameters of one statement into one buffer, in PostgreSQL's binary format.
internal import Bytes
internal import EtcdAPI

/// Writes parameters, one after the other.
struct ParameterWriter: ~Copyable {
    private var writer: ByteWriter
    private var ends: [Int] = []

    init(capacity: Int) { writer = ByteWriter(capacity: capacity) }

    consuming func finish() -> Parameters {
        let ends = self.ends
        return Parameters(bytes: writer.finish(), ends: ends)
    }

    mutating func add(_ value: Int64) {
        writer.appendBigEndian(value)
        ends.append(writer.count)
    }

    mutating func add(_ value: some WireNumber) { add(value.rawValue) }

    mutating func add(_ value: Int32) {
        writer.appendBigEndian(value)
        ends.append(writer.count)
    }

    mutating func add(text: String) {
        writer.append(ByteString(text))
        ends.append(writer.count)
    }

    /// An array of what `write` makes of each row, one element a row.
    @inline(__always)
    mutating func array<Rows: Collection>(
        of type: UInt32, _ rows: Rows, _ write: (inout ParameterWriter, Rows.Element) -> Void
    ) {
        writer.append(atMost: ArrayCursor.headerSize) { base in
            _ = ArrayCursor(UnsafeMutableRawPointer(base), of: type, count: rows.count)
            return ArrayCursor.headerSize
        }
        for row in rows { write(&self, row) }
        ends.append(writer.count)
    }

    mutating func element<I: FixedWidthInteger>(_ value: I) {
        writer.appendBigEndian(Int32(MemoryLayout<I>.size))
        writer.appendBigEndian(value)
    }

    mutating func element(_ value: some WireNumber) { element(value.rawValue) }

    mutating func element(_ bytes: ByteString) {
        writer.appendBigEndian(Int32(truncatingIfNeeded: bytes.count))
        writer.append(bytes)
    }

    /// Several arrays of known sizes at once, which `fill` writes through `ArrayCursor`s.
    mutating func add(columnsOf sizes: [Int], _ fill: (UnsafeMutableRawPointer) -> Void) {
        let start = writer.count
        let total = sizes.reduce(0, +)
        writer.append(atMost: total) { base in
            fill(UnsafeMutableRawPointer(base))
            return total
        }
        var end = start
        for size in sizes {
            end += size
            ends.append(end)
        }
    }
}
