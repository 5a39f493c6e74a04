// Owns: an open bbolt file: its descriptor, the meta that counts, and reading runs of pages from it.
// Must never: trap or take memory without bound for what a file says.
// Invariant: every page that is read lies below the high-water mark, and that mark inside the file.
internal import Bytes
internal import Glibc

/// A bbolt file that is only read. Nobody may write to it meanwhile.
package struct BoltFile: ~Copyable {
    /// The most bytes one page with its overflow may have: the largest value and its key.
    package static let pageRunLimit = 256 << 20

    package let path: String
    package let pageSize: Int
    package let transaction: UInt64
    /// Pages in use or free: the first number that is neither.
    package let highWaterMark: UInt64
    let rootPage: UInt64
    private let descriptor: Int32

    package init(path: String) throws(BoltError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .cannotRead(path: path, errno: errno) }
        do throws(BoltError) {
            let size = try Self.size(of: descriptor, path: path)
            let meta = try Self.newestMeta(descriptor, size: size, path: path)
            let (end, overflow) = meta.highWaterMark.multipliedReportingOverflow(by: UInt64(meta.pageSize))
            guard !overflow, end <= UInt64(size) else {
                throw .truncated(path: path, bytes: size, expected: overflow || end > UInt64(Int.max) ? .max : Int(end))
            }
            self.path = path
            self.descriptor = descriptor
            pageSize = meta.pageSize
            transaction = meta.transaction
            highWaterMark = meta.highWaterMark
            rootPage = meta.rootPage
        } catch {
            close(descriptor)
            throw error
        }
    }

    deinit { close(descriptor) }

    private static func size(of descriptor: Int32, path: String) throws(BoltError) -> Int {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .cannotRead(path: path, errno: errno) }
        return Int(status.st_size)
    }

    /// Of the two metas the valid one with the higher transaction. The second lies one page in, and where the first is
    /// damaged nothing says how large a page is: all sizes are tried.
    private static func newestMeta(_ descriptor: Int32, size: Int, path: String) throws(BoltError) -> BoltMeta {
        guard size >= 2 * BoltFormat.pageSizes.lowerBound else { throw .tooShort(path: path, bytes: size) }
        let first = BoltMeta(try read(descriptor, at: 0, count: 128, path: path))
        var second: BoltMeta?
        var pageSize = BoltFormat.pageSizes.lowerBound
        while second == nil, pageSize <= BoltFormat.pageSizes.upperBound, pageSize + 128 <= size {
            second = BoltMeta(try read(descriptor, at: pageSize, count: 128, path: path))
            if second?.pageSize != pageSize { second = nil }
            pageSize *= 2
        }
        guard let newest = [first, second].compactMap({ $0 }).max(by: { $0.transaction < $1.transaction }) else {
            throw .notBolt(path: path)
        }
        return newest
    }

    /// Page `id` with those that overflow it.
    func pageRun(_ id: UInt64) throws(BoltError) -> ByteString {
        guard id >= 2, id < highWaterMark else { throw damaged(id, "its number is out of range") }
        let header = try read(at: id, offset: 0, count: BoltFormat.pageHeaderSize)
        let (own, overflow) = header.withUnsafeBytes { ($0.integer(0, as: UInt64.self), $0.integer(12, as: UInt32.self)) }
        guard own == id else { throw damaged(id, "it says that it is page \(own)") }
        guard UInt64(overflow) < highWaterMark - id else { throw damaged(id, "its overflow ends outside of the file") }
        let count = (Int(overflow) + 1) * pageSize
        guard count <= Self.pageRunLimit else { throw damaged(id, "it has \(count) bytes, more than \(Self.pageRunLimit)") }
        return try read(at: id, offset: 0, count: count)
    }

    func read(at page: UInt64, offset: Int, count: Int) throws(BoltError) -> ByteString {
        try Self.read(descriptor, at: Int(page) * pageSize + offset, count: count, path: path)
    }

    func damaged(_ page: UInt64, _ what: String) -> BoltError { .damagedPage(path: path, page: page, what: what) }

    private static func read(_ descriptor: Int32, at offset: Int, count: Int, path: String) throws(BoltError) -> ByteString {
        var bytes = ByteWriter(capacity: count)
        var failure: BoltError?
        bytes.append(atMost: count) { target in
            var done = 0
            while done < count {
                let got = pread(descriptor, target + done, count - done, off_t(offset + done))
                if got < 0, errno == EINTR { continue }
                guard got > 0 else {
                    failure =
                        got < 0
                        ? .cannotRead(path: path, errno: errno) : .truncated(path: path, bytes: offset + done, expected: offset + count)
                    break
                }
                done += got
            }
            return done
        }
        if let failure { throw failure }
        return bytes.finish()
    }
}

/// What a valid meta page says.
struct BoltMeta {
    let pageSize: Int
    let rootPage: UInt64
    let highWaterMark: UInt64
    let transaction: UInt64

    /// Nil where `page`, the start of a page, is no meta of a version that is known with a right checksum.
    init?(_ page: ByteString) {
        let fields = page.withUnsafeBytes { bytes -> BoltMeta? in
            guard bytes.count >= BoltFormat.pageHeaderSize + BoltFormat.metaSize else { return nil }
            let meta = UnsafeRawBufferPointer(rebasing: bytes[BoltFormat.pageHeaderSize...])
            let covered = UnsafeRawBufferPointer(rebasing: meta[..<BoltFormat.metaSizeBeforeChecksum])
            let pageSize = Int(meta.integer(8, as: UInt32.self))
            guard meta.integer(0, as: UInt32.self) == BoltFormat.magic, meta.integer(4, as: UInt32.self) == BoltFormat.version,
                BoltFormat.pageSizes.contains(pageSize), pageSize.nonzeroBitCount == 1,
                meta.integer(56, as: UInt64.self) == BoltFormat.checksum(covered)
            else { return nil }
            return BoltMeta(
                pageSize: pageSize, rootPage: meta.integer(16), highWaterMark: meta.integer(40),
                transaction: meta.integer(48))
        }
        guard let fields else { return nil }
        self = fields
    }

    private init(pageSize: Int, rootPage: UInt64, highWaterMark: UInt64, transaction: UInt64) {
        self.pageSize = pageSize
        self.rootPage = rootPage
        self.highWaterMark = highWaterMark
        self.transaction = transaction
    }
}

func systemMessage(_ number: Int32) -> String {
    String(cString: strerror(number))
}
