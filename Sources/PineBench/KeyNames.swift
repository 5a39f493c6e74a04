// Owns: the names of the load generator's keys.
internal import Bytes
internal import Glibc

/// The keys below one prefix, by number.
struct KeyNames {
    let prefix: ByteString
    let prefixEnd: ByteString
    static let digits = 10

    init(_ prefix: String) {
        self.prefix = ByteString(prefix)
        prefixEnd = self.prefix.prefixSuccessor()
    }

    var keySize: Int { prefix.count + Self.digits }

    func name(_ number: Int) -> ByteString {
        var writer = ByteWriter(capacity: keySize)
        append(number, to: &writer)
        return writer.finish()
    }

    func append(_ number: Int, to writer: inout ByteWriter) {
        writer.append(prefix)
        writer.append(atMost: Self.digits) { target in
            var rest = number
            for index in (0..<Self.digits).reversed() {
                target[index] = UInt8(ascii: "0") + UInt8(rest % 10)
                rest /= 10
            }
            return Self.digits
        }
    }

    /// Writes a bytes field that holds a key.
    func append(_ number: Int, to writer: inout ByteWriter, field: Int) {
        writer.appendVarint(UInt64(field) << 3 | 2)
        writer.appendVarint(UInt64(keySize))
        append(number, to: &writer)
    }

    /// The number of a key; nil where it is none of these.
    func number(_ key: UnsafeRawBufferPointer) -> Int? {
        guard key.count == keySize, prefix.withUnsafeBytes({ memcmp($0.baseAddress!, key.baseAddress!, $0.count) }) == 0
        else { return nil }
        var number = 0
        for byte in key[prefix.count...] {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            number = number * 10 + Int(byte - UInt8(ascii: "0"))
        }
        return number
    }
}
