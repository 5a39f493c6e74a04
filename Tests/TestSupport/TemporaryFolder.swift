// Owns: a folder for one test. Must never: be used after its owner is gone: it is deleted then.
internal import Foundation
package import Glibc
internal import Synchronization

/// A new, empty folder (mode 0755) that is deleted when the last reference goes, and with the process at the latest.
/// Its path is short enough for unix sockets in it.
package final class TemporaryFolder: Sendable {
    package let path: String
    private static let count = Mutex(0)

    package init(mode: mode_t = 0o755) throws {
        let number = Self.count.withLock {
            $0 += 1
            return $0
        }
        path = "\(Watchdog.root)/\(number)"
        guard mkdir(path, mode) == 0, chmod(path, mode) == 0 else {
            throw TestSupportError("can't make \(path): \(String(cString: strerror(errno)))")
        }
    }

    deinit {
        // What can't be deleted now (a dying server still writes), the watchdog deletes.
        try? FileManager.default.removeItem(atPath: path)
    }

    package func file(_ name: String) -> String { "\(path)/\(name)" }
}

/// The whole content of the file at `path` as text; empty where there is none.
package func contents(of path: String) -> String {
    FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) } ?? ""
}
