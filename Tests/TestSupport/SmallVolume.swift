// Owns: a disk that can be filled up without harm to anything else.
// Must never: stay mounted once its owner is gone.
internal import Foundation
internal import Glibc

/// A file system in memory of a fixed size, which takes root's rights to mount. What is on it goes with it.
final class SmallVolume: Sendable {
    private let path: String

    init(_ path: String, bytes: Int, owner: UnprivilegedUser?) throws {
        self.path = path
        guard mkdir(path, 0o755) == 0 else { throw TestSupportError("can't make \(path): \(String(cString: strerror(errno)))") }
        let mount = try findExecutable("mount", in: ["/bin", "/usr/bin"], install: "apt-get install mount")
        let result = try runCommand(mount, ["-t", "tmpfs", "-o", "size=\(bytes),mode=755", "tmpfs", path])
        guard result.status == 0 else {
            throw TestSupportError("a small disk can't be mounted, which takes root's rights: \(result.stderr)")
        }
        try owner?.own(path)
    }

    func fill() throws {
        let descriptor = open("\(path)/filler", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw TestSupportError("can't fill \(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        // In ever smaller pieces, until not a page is left.
        for size in [1 << 20, 1 << 12] {
            let bytes = [UInt8](repeating: 1, count: size)
            while write(descriptor, bytes, size) > 0 {}
        }
    }

    func empty() { unlink("\(path)/filler") }

    func unmount() {
        if let umount = try? findExecutable("umount", in: ["/bin", "/usr/bin"], install: "") {
            _ = try? runCommand(umount, ["-l", path])
        }
    }
}
