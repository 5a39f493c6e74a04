// Owns: how much memory this process may use, and giving back what it doesn't.
internal import Foundation
internal import Glibc

package enum ServerMemory {
    /// The machine's memory or, where that is less, the control group's limit, in bytes.
    package static let bytes: Int = {
        let machine = max(sysconf(Int32(_SC_PHYS_PAGES)), 0) * max(sysconf(Int32(_SC_PAGESIZE)), 0)
        var limits = [machine > 0 ? machine : 4 << 30]
        for path in ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"] {
            guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { continue }
            if let limit = Int(text.trimmingCharacters(in: .whitespacesAndNewlines)), limit > 0 { limits.append(limit) }
        }
        return limits.min() ?? machine
    }()

    /// Gives the pages back to the system that the allocator holds and nobody uses, on a thread of its own: it visits every free
    /// piece.
    static func giveBack() {
        Thread.detachNewThread {
            // glibc has it, though Swift's module for it does not. Other allocators give memory back by themselves.
            guard let address = dlsym(nil, "malloc_trim") else { return }
            _ = unsafeBitCast(address, to: (@convention(c) (Int) -> Int32).self)(0)
        }
    }
}
