// Owns: the methods that a server offers, and how a request's path finds one of them.
internal import Bytes
internal import Calls
internal import Glibc

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
    /// Whether its answers are never much larger than its requests: then no room is left for them while they are being made.
    package let answersAreShort: Bool

    package init(_ path: String, _ kind: Kind, answersAreShort: Bool = false) {
        self.path = path
        self.kind = kind
        self.answersAreShort = answersAreShort
    }
}

/// The header fields of requests that mean something to the server beside gRPC's own.
package struct GRPCFields: Sendable {
    /// Flags a call when it is `true`.
    package var flag: StaticString?
    /// The one by whose values calls are counted.
    package var counted: StaticString?
    /// Says who the client is; `authorization` stands in for it.
    package var token: StaticString?

    package init(flag: StaticString? = nil, counted: StaticString? = nil, token: StaticString? = nil) {
        self.flag = flag
        self.counted = counted
        self.token = token
    }
}

/// Finds a method's index by the bytes of its path. In plain memory, as this happens for every call.
final class MethodTable: Sendable {
    let methods: [GRPCMethod]
    /// The field that flags a call when it is `true`.
    let flagField: StaticString?
    /// The field by whose values calls are counted.
    let countedField: StaticString?
    /// The field with which clients say who they are.
    let tokenField: StaticString?
    private let services: Set<String>
    // Both are safe to share: written by the initializer only, read-only from then on.
    private nonisolated(unsafe) let entries: UnsafeMutablePointer<Entry>
    /// Open addressing, a power of two long, at most a quarter full; -1 where empty.
    private nonisolated(unsafe) let slots: UnsafeMutablePointer<Int32>
    private let mask: Int

    private struct Entry {
        var path: UnsafeRawBufferPointer
        var isBidirectional: Bool
        var isUnary: Bool
        var mayAnswerLong: Bool
    }

    init(_ methods: [GRPCMethod], _ fields: GRPCFields) {
        self.methods = methods
        flagField = fields.flag
        countedField = fields.counted
        tokenField = fields.token
        services = Set(methods.compactMap { MethodTable.split($0.path)?.service })
        var size = 16
        while size < methods.count * 4 { size *= 2 }
        mask = size - 1
        slots = .allocate(capacity: size)
        slots.initialize(repeating: -1, count: size)
        entries = .allocate(capacity: methods.count)
        for (index, method) in methods.enumerated() {
            let path = UnsafeMutableRawBufferPointer.allocate(byteCount: method.path.utf8.count, alignment: 8)
            path.copyBytes(from: method.path.utf8)
            let entry = Entry(
                path: UnsafeRawBufferPointer(path), isBidirectional: method.kind == .bidirectional, isUnary: method.kind == .unary,
                mayAnswerLong: !method.answersAreShort)
            (entries + index).initialize(to: entry)
            var slot = MethodTable.hash(entry.path) & mask
            while slots[slot] >= 0 { slot = (slot + 1) & mask }
            slots[slot] = Int32(index)
        }
    }

    deinit {
        for index in methods.indices { entries[index].path.deallocate() }
        entries.deallocate()
        slots.deallocate()
    }

    @inline(__always)
    func isBidirectional(_ method: MethodIndex) -> Bool { entries[method.rawValue].isBidirectional }

    @inline(__always)
    func isUnary(_ method: MethodIndex) -> Bool { entries[method.rawValue].isUnary }

    @inline(__always)
    func mayAnswerLong(_ method: MethodIndex) -> Bool { entries[method.rawValue].mayAnswerLong }

    /// Which method `path` names.
    func find(_ path: UnsafeRawBufferPointer) -> MethodIndex? {
        var slot = MethodTable.hash(path) & mask
        while slots[slot] >= 0 {
            let index = Int(slots[slot])
            let known = entries[index].path
            if known.count == path.count && memcmp(known.baseAddress!, path.baseAddress!, path.count) == 0 {
                return MethodIndex(rawValue: index)
            }
            slot = (slot + 1) & mask
        }
        return nil
    }

    /// What to answer to a path that `find` doesn't know, in the words that Go's gRPC uses.
    func unknown(_ text: String) -> GRPCStatus {
        guard let (service, method) = MethodTable.split(text) else {
            return GRPCStatus(.unimplemented, "malformed method name: \(Quoted.printable(text))")
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
