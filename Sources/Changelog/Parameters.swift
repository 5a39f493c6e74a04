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
