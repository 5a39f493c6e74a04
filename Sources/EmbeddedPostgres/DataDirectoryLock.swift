// Owns: the claim of one Pine process to a data directory.
// Must never: be taken for granted from the file alone: only the kernel's lock counts, since it ends with the process.
// Invariant: the file is never deleted, so that two processes can't hold locks on two files of the same name.
internal import Glibc

/// An exclusive claim to a data directory, until `release` or the end of the process, however it ends.
package final class DataDirectoryLock: Sendable {
    private let descriptor: Int32

    /// Claims `dataDirectory`, made where it is missing (mode 0700). Throws `.inUse`, naming the other process, where it is claimed.
    package init(dataDirectory: String) throws(EmbeddedPostgresError) {
        let folder = try Files.absolute(dataDirectory)
        try Files.makeFolder(folder, mode: 0o700)
        let path = "\(folder)/pine.lock"
        // Not inherited by PostgreSQL: it may outlive us for a moment, and the claim must not.
        guard let descriptor = try Files.openOwn(path, O_RDWR | O_CREAT) else {
            throw EmbeddedPostgresError(.folderUnusable, "can't make \(path)")
        }
        self.descriptor = descriptor
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let reason = errno
            let holder =
                Files.read(path)?.split(separator: "\n").first.map { "process \($0)" } ?? "a process that is just starting"
            close(descriptor)
            guard reason == EWOULDBLOCK else {
                throw EmbeddedPostgresError(.folderUnusable, "can't lock \(path): \(String(cString: strerror(reason)))")
            }
            throw EmbeddedPostgresError(
                .inUse, "\(folder) is in use by another pine (\(holder)); stop it or choose another --data-dir")
        }
        let text = Array("\(getpid())\n".utf8)
        guard ftruncate(descriptor, 0) == 0, pwrite(descriptor, text, text.count, 0) == text.count else {
            let error = EmbeddedPostgresError(.folderUnusable, "can't write \(path): \(Files.lastError)")
            close(descriptor)
            throw error
        }
    }

    /// Gives the claim up. Does nothing the second time.
    package func release() {
        flock(descriptor, LOCK_UN)
    }

    deinit {
        close(descriptor)
    }
}
