// Owns: the parameters of one statement, in PostgreSQL's binary format, laid out one after the other in one buffer.
// Must never: hold a parameter in text format, except text itself, whose binary format is the same.
internal import Bytes
internal import EtcdAPI

/// The object ids of the types that our parameters have (pg_type.dat; they never change).
enum TypeID {
    static let bytea: UInt32 = 17
    static let int8: UInt32 = 20
    static let int2: UInt32 = 21
    static let int4: UInt32 = 23
    static let text: UInt32 = 25
}

/// The finished parameters of one statement.
struct Parameters: Sendable {
    fileprivate(set) var bytes: ByteString
    /// Where each parameter ends in `bytes`.
    fileprivate(set) var ends: [Int]

    static let none = Parameters(bytes: ByteString(), ends: [])

    /// What PostgreSQL takes in one message, in bytes, less room for what goes with the parameters: PQ_LARGE_MESSAGE_LIMIT in its
    /// libpq/libpq.h is 1 GiB. Nothing may be made of more: libpq takes lengths of 31 bits.
    static let messageLimit = (1 << 30) - (1 << 20)

    var byteCount: Int { bytes.count }

    /// `build` adds each parameter in turn.
    static func build(capacity: Int = 64, _ build: (inout ParameterWriter) -> Void) -> Parameters {
        var writer = ParameterWriter(capacity: capacity)
        build(&writer)
        return writer.finish()
    }

    /// What libpq takes: for each parameter its address, length in bytes and format. Valid inside `body` only, and only where they fit
    /// a message.
    func withPointers<R>(
        _ body: (Int32, UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<Int32>?, UnsafePointer<Int32>?) -> R
    ) -> R {
        bytes.withUnsafeBytes { raw in
            var values: [UnsafePointer<CChar>?] = []
            var lengths: [Int32] = []
            values.reserveCapacity(ends.count)
            lengths.reserveCapacity(ends.count)
            var start = 0
            for end in ends {
                // An empty parameter still needs an address: libpq takes a null one for SQL's null.
                values.append(raw.baseAddress.map { ($0 + start).assumingMemoryBound(to: CChar.self) } ?? Self.emptyAddress)
                lengths.append(Int32(truncatingIfNeeded: end - start))
                start = end
            }
            let binary = [Int32](repeating: 1, count: ends.count)
            return body(Int32(ends.count), values, lengths, binary)
        }
    }

    // Safe: a pointer to one constant byte that nobody writes, kept for the life of the process.
    private nonisolated(unsafe) static let emptyAddress: UnsafePointer<CChar> = {
        let byte = UnsafeMutablePointer<CChar>.allocate(capacity: 1)
        byte.initialize(to: 0)
        return UnsafePointer(byte)
    }()
}

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

/// Writes one array of known size, element by element. Must not get more elements than it was made for.
///
/// One-dimensional, without nulls: dimensions, "has nulls", element type, length, lower bound 1; then each element after its
/// length (array_send in arrayfuncs.c).
struct ArrayCursor {
    static let headerSize = 20
    /// Where the next element goes.
    private(set) var at: UnsafeMutableRawPointer

    init(_ start: UnsafeMutableRawPointer, of type: UInt32, count: Int) {
        at = start
        for word in [1, 0, type, UInt32(count), 1] {
            at.storeBytes(of: word.bigEndian, as: UInt32.self)
            at += 4
        }
    }

    @inline(__always)
    mutating func put<I: FixedWidthInteger>(_ value: I) {
        at.storeBytes(of: UInt32(MemoryLayout<I>.size).bigEndian, as: UInt32.self)
        (at + 4).storeBytes(of: value.bigEndian, as: I.self)
        at += 4 + MemoryLayout<I>.size
    }

    @inline(__always)
    mutating func put(_ value: some WireNumber) { put(value.rawValue) }

    @inline(__always)
    mutating func put(_ bytes: ByteString) {
        at.storeBytes(of: UInt32(truncatingIfNeeded: bytes.count).bigEndian, as: UInt32.self)
        at += 4
        bytes.withUnsafeBytes { source in
            guard let base = source.baseAddress else { return }
            at.copyMemory(from: base, byteCount: source.count)
        }
        at += bytes.count
    }
}
