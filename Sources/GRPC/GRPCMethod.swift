// Owns: the methods that a server offers, and how a request's path finds one of them.
internal import Bytes

/// One method of a service.
package struct GRPCMethod: Sendable, Hashable {
    package enum Kind: Sendable {
        /// One message each way.
        case unary
        /// One message in, any number out.
        case serverStreaming
        /// Any number each way.
        case bidirectional
    }

    /// `/package.Service/Method`
    package let path: String
    package let kind: Kind

    package init(_ path: String, _ kind: Kind) {
        self.path = path
        self.kind = kind
    }
}

/// Finds a method's index by the bytes of its path.
struct MethodTable {
    let methods: [GRPCMethod]
    private let paths: [ByteString]
    private let services: Set<String>
    /// Open addressing, a power of two long, at most a quarter full; -1 where empty.
    private var slots: [Int16]

    init(_ methods: [GRPCMethod]) {
        self.methods = methods
        paths = methods.map { ByteString($0.path) }
        services = Set(methods.compactMap { MethodTable.split($0.path)?.service })
        var size = 16
        while size < methods.count * 4 { size *= 2 }
        slots = Array(repeating: -1, count: size)
        for (index, path) in paths.enumerated() {
            var slot = path.withUnsafeBytes { MethodTable.hash($0) } & (size - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (size - 1) }
            slots[slot] = Int16(index)
        }
    }

    /// Which method `path` names, nil where there is none.
    func find(_ path: UnsafeRawBufferPointer) -> Int? {
        var slot = MethodTable.hash(path) & (slots.count - 1)
        while slots[slot] >= 0 {
            let index = Int(slots[slot])
            if paths[index].count == path.count, paths[index].withUnsafeBytes({ $0.elementsEqual(path) }) { return index }
            slot = (slot + 1) & (slots.count - 1)
        }
        return nil
    }

    /// What to answer to a path that `find` doesn't know, in the words that Go's gRPC uses.
    func unknown(_ path: UnsafeRawBufferPointer) -> GRPCStatus {
        let text = String(decoding: path, as: UTF8.self)
        guard let (service, method) = MethodTable.split(text) else {
            return GRPCStatus(.unimplemented, "malformed method name: \(quoted(text))")
        }
        return services.contains(service)
            ? GRPCStatus(.unimplemented, "unknown method \(method) for service \(service)")
            : GRPCStatus(.unimplemented, "unknown service \(service)")
    }

    /// Paths differ in their length and at their end, mostly.
    private static func hash(_ path: UnsafeRawBufferPointer) -> Int {
        var bits = UInt64(path.count)
        if path.count >= 8 {
            bits ^= path.loadUnaligned(fromByteOffset: path.count - 8, as: UInt64.self)
        } else {
            for byte in path { bits = bits << 8 ^ UInt64(byte) }
        }
        return Int(truncatingIfNeeded: (bits &* 0x9E37_79B9_7F4A_7C15) >> 40)
    }

    private static func split(_ path: String) -> (service: String, method: String)? {
        let rest = path.hasPrefix("/") ? path.dropFirst() : path[...]
        guard let slash = rest.lastIndex(of: "/") else { return nil }
        return (String(rest[..<slash]), String(rest[rest.index(after: slash)...]))
    }
}

/// `text` between double quotes, with quotes, backslashes and what isn't printable ASCII escaped.
func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"", "\\":
            result += "\\"
            result.unicodeScalars.append(scalar)
        case " "..."~":
            result.unicodeScalars.append(scalar)
        default:
            let hex = String(scalar.value, radix: 16)
            result += scalar.value < 0x80 ? "\\x" + (hex.count == 1 ? "0" : "") + hex : "\\u{\(hex)}"
        }
    }
    return result + "\""
}
