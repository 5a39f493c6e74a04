// Owns: the files in the data directory that say what was served, so that a process that starts after the restore of an older backup
// notices that history is gone which clients may have seen.
// Must never: keep a server from starting: without the files all works, but for noticing that; write more often than asked to; leave
// a half-written file under its final name.
// Invariant: each file has one writer. Whoever writes N holds the kernel's lock on N.lock, which ends with its process.
internal import EtcdAPI
internal import Foundation
internal import Glibc
internal import Keyspace
internal import Logging
internal import Replica
internal import Synchronization

final class ServedMarks: Sendable {
    private struct State {
        /// The newest of this life, once something was served.
        var current: ServedMark?
        var written: ServedMark?
        /// Whether the operator was told that writing fails.
        var isFailing = false
    }

    /// The data directory's folder for the files.
    static let folderName = "served"
    /// Processes that share a data directory.
    private static let fileLimit = 64

    /// What earlier lives served, and others that share the folder: of any number of stores.
    let earlier: [ServedMark]
    private let path: String
    /// Marks of other stores in the same file, which stay.
    private let others: [ServedMark]
    private let lock: Int32
    private let state = Mutex(State())
    private let logger: Logger

    /// Reads what the files in `dataDirectory` say and takes one of them for this process. nil, with a line for the operator, where that
    /// can't be.
    init?(dataDirectory: String, logger: Logger) {
        let folder = "\(dataDirectory)/\(Self.folderName)"
        self.logger = logger
        var found: (number: Int, lock: Int32)?
        var reason = "\(Self.fileLimit) processes share it"
        // Where that fails the files below can't be made, and say why.
        try? FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        for number in 1...Self.fileLimit {
            // Where the data directory is another user's, a link of theirs must not lead root to any file of the machine.
            guard !Self.isForeignLink(folder) else {
                reason = "it is another user's symbolic link"
                break
            }
            let lock = open("\(folder)/\(number).lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
            guard lock >= 0 else {
                reason = String(cString: strerror(errno))
                break
            }
            if flock(lock, LOCK_EX | LOCK_NB) == 0 {
                found = (number, lock)
                break
            }
            close(lock)
        }
        guard let found else {
            logger.notice(
                """
                what is served can't be noted down in the data directory: should a backup be restored while no Pine runs, \
                `pine restore` is needed
                """, metadata: ["folder": "\(folder)", "reason": "\(reason)"])
            return nil
        }
        let read = Self.read(dataDirectory: dataDirectory)
        if !read.unreadable.isEmpty {
            logger.warning(
                """
                a file of what was served can't be read: if a backup was restored since it was written, `pine restore` is needed
                """, metadata: ["file": "\(read.unreadable.joined(separator: ", "))"])
        }
        earlier = read.files.sorted { $0.key < $1.key }.flatMap(\.value)
        path = "\(folder)/\(found.number)"
        others = read.files[found.number] ?? []
        lock = found.lock
    }

    deinit { close(lock) }

    private static func isForeignLink(_ path: String) -> Bool {
        var found = stat()
        return lstat(path, &found) == 0 && found.st_mode & S_IFMT == S_IFLNK && found.st_uid != geteuid()
    }

    /// The newest mark, from the engine's thread. Everything up to it may be served from now on.
    func note(_ mark: ServedMark) { state.withLock { $0.current = mark } }

    /// Writes the newest mark, if it is not there yet. Blocks.
    func write() {
        guard let mark = state.withLock({ $0.current == $0.written ? nil : $0.current }) else { return }
        // A mark of this store that is older was compared with the log before anything was served.
        let marks = [mark] + others.filter { $0.clusterID != mark.clusterID }
        let failure = ServedFile.write(marks, to: path)
        let isNews = state.withLock { state in
            if failure == nil { state.written = mark }
            defer { state.isFailing = failure != nil }
            return failure != nil && !state.isFailing
        }
        if isNews, let failure {
            logger.warning("can't note down what is served", metadata: ["file": "\(path)", "reason": "\(failure)"])
        }
    }

    /// What all files in `dataDirectory` say, by their numbers, and the paths of those that say nothing that could be understood.
    static func read(dataDirectory: String) -> (files: [Int: [ServedMark]], unreadable: [String]) {
        var files: [Int: [ServedMark]] = [:]
        var unreadable: [String] = []
        for number in 1...fileLimit {
            let path = "\(dataDirectory)/\(folderName)/\(number)"
            guard access(path, F_OK) == 0 else { continue }
            if let marks = ServedFile.read(path) { files[number] = marks } else { unreadable.append(path) }
        }
        return (files, unreadable)
    }
}

/// One file: a line that says what it is, a line for each mark, the newest first, and a checksum over these.
enum ServedFile {
    /// Stores that one data directory remembers.
    private static let markLimit = 64
    private static let byteLimit = 16 << 10
    private static let title = "pine served 1"

    static func text(_ marks: [ServedMark]) -> String {
        let lines = marks.prefix(markLimit).map { "\($0.clusterID) \($0.position.revision) \($0.position.sub) \($0.digest.rawValue)" }
        let body = ([title] + lines).joined(separator: "\n") + "\n"
        return body + "sum \(checksum(body))\n"
    }

    /// nil for what `text` doesn't write.
    static func marks(_ text: String) -> [ServedMark]? {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.count >= 3, lines[0] == title, lines[lines.count - 1].isEmpty else { return nil }
        let body = lines.dropLast(2).joined(separator: "\n") + "\n"
        guard lines[lines.count - 2] == "sum \(checksum(body))" else { return nil }
        var marks: [ServedMark] = []
        for line in lines.dropFirst().dropLast(2) {
            let numbers = line.split(separator: " ").compactMap { Int64($0) }
            guard numbers.count == 4, let sub = Int32(exactly: numbers[2]) else { return nil }
            marks.append(
                ServedMark(clusterID: numbers[0], position: Position(Revision(numbers[1]), sub), digest: Digest(rawValue: numbers[3])))
        }
        return marks
    }

    static func read(_ path: String) -> [ServedMark]? {
        guard let file = FileHandle(forReadingAtPath: path), let data = try? file.read(upToCount: byteLimit) else { return nil }
        return String(data: data, encoding: .utf8).flatMap { marks($0) }
    }

    /// Under another name first, flushed, then renamed. Gives what went wrong.
    static func write(_ marks: [ServedMark], to path: String) -> String? {
        let temporary = "\(path).new"
        func failure() -> String { String(cString: strerror(errno)) }
        // What was left there, or put there by somebody else, is not written to.
        unlink(temporary)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return failure() }
        defer { close(descriptor) }
        let bytes = Array(text(marks).utf8)
        guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count, fsync(descriptor) == 0, rename(temporary, path) == 0 else {
            return failure()
        }
        let folder = open(String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { return failure() }
        defer { close(folder) }
        return fsync(folder) == 0 ? nil : failure()
    }

    /// FNV-1a, 64 bits.
    private static func checksum(_ text: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return String(hash, radix: 16)
    }
}
