// Owns: the file that an export makes: its form, its checks, and going on where a broken-off export ended.
// Must never: take a file for complete that isn't, or for whole where a byte of it has changed.
//
// `pine-export 1` and a newline, then frames: a letter, the payload's length (4 bytes, big-endian), the CRC-32 of letter, length
// and payload (4 bytes), the payload.
//     R  revision of the store, 8 bytes: the first frame
//     L  a lease: LeaseGrantRequest of etcd's API
//     K  keys in their order: RangeResponse with kvs
//     E  how many keys there are, 8 bytes: the last frame
internal import Bytes
internal import CZlib
package import EtcdAPI
internal import Foundation

private let magic = Data("pine-export 1\n".utf8)

private struct Frame {
    var kind: UInt8
    var payload: Data

    static let headSize = 9
    /// More than any page is: two values of the largest size that etcd could ever take, and then some.
    static let payloadLimit = 1 << 30

    var number: Int64? { payload.count == 8 ? payload.reduce(0) { $0 << 8 | Int64($1) } : nil }

    init(kind: Character, payload: Data) {
        self.kind = kind.asciiValue ?? 0
        self.payload = payload
    }

    init(kind: Character, number: Int64) {
        self.init(kind: kind, payload: withUnsafeBytes(of: number.bigEndian) { Data($0) })
    }

    init(kind: Character, message: some WireMessage) {
        self.init(kind: kind, payload: message.encoded().withUnsafeBytes { Data($0) })
    }

    func encoded() -> Data {
        var head = Data([kind])
        withUnsafeBytes(of: UInt32(payload.count).bigEndian) { head.append(contentsOf: $0) }
        let sum = Frame.checksum(head, payload)
        withUnsafeBytes(of: sum.bigEndian) { head.append(contentsOf: $0) }
        return head + payload
    }

    static func checksum(_ head: Data, _ payload: Data) -> UInt32 {
        var sum = crc32(0, nil, 0)
        for part in [head, payload] {
            part.withUnsafeBytes { bytes in
                if let base = bytes.bindMemory(to: UInt8.self).baseAddress { sum = crc32(sum, base, UInt32(bytes.count)) }
            }
        }
        return UInt32(truncatingIfNeeded: sum)
    }

    /// The next frame; nil at the end of the file and where it is cut off. Throws where bytes have changed.
    static func read(from file: FileHandle, path: String) throws -> Frame? {
        let head = try file.read(upToCount: headSize) ?? Data()
        guard head.count == headSize else { return nil }
        let numbers = Array(head)
        func word(_ at: Int) -> UInt32 { numbers[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) } }
        let count = Int(word(1))
        guard count <= payloadLimit else { throw MoveError("\(path) is damaged: a frame of \(count) bytes") }
        let payload = count == 0 ? Data() : try file.read(upToCount: count) ?? Data()
        guard payload.count == count else { return nil }
        guard checksum(head.prefix(5), payload) == word(5) else { throw MoveError("\(path) is damaged: a checksum is wrong") }
        return Frame(kind: Character(UnicodeScalar(numbers[0])), payload: payload)
    }

    func message<Message: WireMessage>(_ type: Message.Type, path: String) throws -> Message {
        let bytes = payload.withUnsafeBytes { ByteString(copying: $0) }
        do {
            return try Message.decode(bytes)
        } catch {
            throw MoveError("\(path) is damaged: \(error)")
        }
    }
}

/// A complete file, from its beginning.
package struct ExportReader: PageSource {
    package let path: String
    package let revision: Revision
    private let file: FileHandle
    private var keyCount: Int64 = 0
    private var isAtEnd = false

    package init(path: String) throws {
        self.path = path
        guard let file = FileHandle(forReadingAtPath: path) else {
            throw MoveError("can't read \(path): \(String(cString: strerror(errno)))")
        }
        self.file = file
        guard try file.read(upToCount: magic.count) == magic, let first = try Frame.read(from: file, path: path),
            first.kind == UInt8(ascii: "R"), let revision = first.number.map(Revision.init)
        else { throw MoveError("\(path) is not an export of this version") }
        self.revision = revision
    }

    package mutating func next() async throws -> Page? { try nextPage() }

    private mutating func nextPage() throws -> Page? {
        var page = Page()
        while !isAtEnd {
            guard let frame = try Frame.read(from: file, path: path) else {
                throw MoveError("\(path) is cut off: run the export again, it goes on where it ended")
            }
            switch frame.kind {
            case UInt8(ascii: "L"):
                page.leases.append(try frame.message(LeaseGrantRequest.self, path: path))
            case UInt8(ascii: "K"):
                page.keys = try frame.message(RangeResponse.self, path: path).kvs
                keyCount += Int64(page.keys.count)
                return page
            case UInt8(ascii: "E"):
                isAtEnd = true
                guard frame.number == keyCount else { throw MoveError("\(path) is damaged: it lacks keys") }
            default:
                throw MoveError("\(path) is damaged: an unknown frame")
            }
        }
        return nil
    }
}

/// A file that is being written.
package struct ExportWriter {
    package let path: String
    /// What was there already: the pinned revision, the last key, how many keys, which leases. Nil revision: a new file.
    package private(set) var revision: Revision?
    package private(set) var lastKey: [UInt8]?
    package private(set) var keyCount: Int64 = 0
    package private(set) var leases: Set<LeaseID> = []
    private let file: FileHandle

    /// Makes the file, or goes on with one that is not complete.
    package init(path: String) throws {
        self.path = path
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw MoveError("can't write \(path): \(String(cString: strerror(errno)))") }
        file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        let begin = try file.read(upToCount: magic.count) ?? Data()
        if begin.isEmpty {
            try file.write(contentsOf: magic)
            return
        }
        guard begin == magic else { throw MoveError("\(path) is there already, and no export of this version") }
        try resume()
    }

    /// Reads what is there, and cuts off what comes after the last page of keys: leases belong to the page that follows them.
    private mutating func resume() throws {
        var whole = try file.offset()
        var newLeases: Set<LeaseID> = []
        while let frame = try Frame.read(from: file, path: path) {
            switch frame.kind {
            case UInt8(ascii: "R"):
                revision = frame.number.map(Revision.init)
                whole = try file.offset()
            case UInt8(ascii: "L"):
                newLeases.insert(try frame.message(LeaseGrantRequest.self, path: path).id)
            case UInt8(ascii: "K"):
                let keys = try frame.message(RangeResponse.self, path: path).kvs
                keyCount += Int64(keys.count)
                if let last = keys.last { lastKey = Array(last.key) }
                leases.formUnion(newLeases)
                newLeases = []
                whole = try file.offset()
            default:
                throw MoveError("\(path) is complete already; delete it or name another file")
            }
        }
        try file.truncate(atOffset: whole)
        try file.seek(toOffset: whole)
    }

    package mutating func begin(revision: Revision) throws {
        self.revision = revision
        try file.write(contentsOf: Frame(kind: "R", number: revision.rawValue).encoded())
    }

    package mutating func append(_ page: Page) throws {
        var bytes = Data()
        for lease in page.leases {
            bytes.append(Frame(kind: "L", message: lease).encoded())
            leases.insert(lease.id)
        }
        bytes.append(Frame(kind: "K", message: RangeResponse(kvs: page.keys)).encoded())
        try file.write(contentsOf: bytes)
        keyCount += Int64(page.keys.count)
    }

    /// The file is complete, and on disk.
    package func finish() throws {
        try file.write(contentsOf: Frame(kind: "E", number: keyCount).encoded())
        try file.synchronize()
    }
}
