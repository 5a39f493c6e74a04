// Owns: the few file operations that this room needs, with errors an operator can read.
// Must never: follow a symbolic link where it checks who owns something; leave a half-written file under its final name; wait for a pipe
// that stands in the place of a file.
internal import FoundationEssentials
internal import Glibc

enum Files {
    /// The last system error as text.
    static var lastError: String { String(cString: strerror(errno)) }

    /// `path` made absolute by the current directory; not resolved.
    static func absolute(_ path: String) throws(EmbeddedPostgresError) -> String {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        if path.hasPrefix("/") { return path }
        guard let current = getcwd(nil, 0) else {
            throw EmbeddedPostgresError(
                .folderUnusable, "the current directory is gone: \(lastError); give --data-dir as an absolute path")
        }
        defer { free(current) }
        while path.hasPrefix("./") { path.removeFirst(2) }
        return path == "." || path.isEmpty ? String(cString: current) : "\(String(cString: current))/\(path)"
    }

    /// Makes the folder `path` with `mode`, and the missing folders above it with 0755; leaves existing ones as they are.
    static func makeFolder(_ path: String, mode: mode_t) throws(EmbeddedPostgresError) {
        if mkdir(path, mode) == 0 { return }
        if errno == EEXIST {
            guard let found = status(path), found.isFolder else {
                throw EmbeddedPostgresError(.folderUnusable, "\(path) is not a folder; choose another --data-dir")
            }
            return
        }
        let parent = parent(of: path)
        guard errno == ENOENT, parent != path else {
            throw EmbeddedPostgresError(.folderUnusable, "can't make the folder \(path): \(lastError); choose another --data-dir")
        }
        try makeFolder(parent, mode: 0o755)
        guard mkdir(path, mode) == 0 || errno == EEXIST else {
            throw EmbeddedPostgresError(.folderUnusable, "can't make the folder \(path): \(lastError); choose another --data-dir")
        }
    }

    static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return "/" }
        return String(path[..<slash])
    }

    struct Status {
        let owner: uid_t
        let group: gid_t
        /// Permission bits only.
        let mode: mode_t
        let isFolder: Bool
    }

    /// nil where there is nothing or it can't be looked at. Symbolic links are followed unless `ofLink`.
    static func status(_ path: String, ofLink: Bool = false) -> Status? {
        var found = stat()
        guard (ofLink ? lstat(path, &found) : stat(path, &found)) == 0 else { return nil }
        return Status(found)
    }

    /// The same of what is open.
    static func status(of descriptor: Int32) -> Status? {
        var found = stat()
        return fstat(descriptor, &found) == 0 ? Status(found) : nil
    }

    // Not by access(2), which asks for the process's rights, not for those that the thread has taken on.
    static func exists(_ path: String) -> Bool { status(path) != nil }

    /// More of a file is not read: none of those that matter here is as long.
    private static let readLimitBytes = 1 << 20

    /// The end of a plain file as text, the whole of it up to `limitBytes`; nil where it can't be read.
    static func read(_ path: String, limitBytes: Int = readLimitBytes) -> String? {
        // Opening a pipe waits for somebody at its other end, unless told not to.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var found = stat()
        guard fstat(descriptor, &found) == 0, found.st_mode & S_IFMT == S_IFREG else { return nil }
        // Files of /proc say that they are empty.
        if found.st_size > limitBytes { lseek(descriptor, found.st_size - off_t(limitBytes), SEEK_SET) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16 << 10)
        while bytes.count < limitBytes {
            let count = Glibc.read(descriptor, &chunk, min(chunk.count, limitBytes - bytes.count))
            if count < 0 { return nil }
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Opens a file of Pine's own in a folder where somebody else may have put something in its place. Throws where it is a link, has a second
    /// name, or is no plain file; nil where it is missing and `flags` don't ask to make it.
    static func openOwn(_ path: String, _ flags: Int32, mode: mode_t = 0o600) throws(EmbeddedPostgresError) -> Int32? {
        let descriptor = open(path, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode)
        guard descriptor >= 0 else {
            if errno == ENOENT, flags & O_CREAT == 0 { return nil }
            if errno == ELOOP { throw notOwn(path, "is a symbolic link") }
            throw EmbeddedPostgresError(
                .folderUnusable, "can't open \(path): \(lastError); give Pine's user the right to it or choose another --data-dir")
        }
        var found = stat()
        guard fstat(descriptor, &found) == 0, found.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw notOwn(path, "is not a plain file")
        }
        guard found.st_nlink <= 1 else {
            close(descriptor)
            throw notOwn(path, "has a second name (a hard link)")
        }
        return descriptor
    }

    private static func notOwn(_ path: String, _ what: String) -> EmbeddedPostgresError {
        EmbeddedPostgresError(.folderUnusable, "\(path) \(what), so it may be another's file: delete it, Pine makes it anew")
    }

    /// The names in the folder, sorted; none where it can't be read.
    static func list(_ path: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
    }

    /// Writes the file durably and all at once: under another name first, synced, then renamed.
    static func write(_ path: String, _ text: String, mode: mode_t) throws(EmbeddedPostgresError) {
        let temporary = "\(path).new"
        func failed() -> EmbeddedPostgresError {
            EmbeddedPostgresError(.folderUnusable, "can't write \(path): \(lastError); see to its folder's space and permissions")
        }
        unlink(temporary)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw failed() }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count else { throw failed() }
        guard fsync(descriptor) == 0, Glibc.rename(temporary, path) == 0 else { throw failed() }
        try syncFolder(parent(of: path))
    }

    /// Makes earlier renames in the folder durable.
    static func syncFolder(_ path: String) throws(EmbeddedPostgresError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0, fsync(descriptor) == 0 else {
            throw EmbeddedPostgresError(.folderUnusable, "can't sync the folder \(path): \(lastError)")
        }
        close(descriptor)
    }

    /// Deletes a file or a whole folder; nothing where there is none.
    static func remove(_ path: String) throws(EmbeddedPostgresError) {
        guard status(path, ofLink: true) != nil else { return }
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            throw EmbeddedPostgresError(.folderUnusable, "can't delete \(path): \(error)")
        }
    }
}

extension Files.Status {
    fileprivate init(_ found: stat) {
        self.init(
            owner: found.st_uid, group: found.st_gid, mode: found.st_mode & 0o7777, isFolder: found.st_mode & S_IFMT == S_IFDIR)
    }
}
