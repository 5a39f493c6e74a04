// Owns: how much memory this process may use, how the allocator shares it out, and giving back what is not used.
internal import Foundation
internal import Glibc
internal import NIOCore

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

    /// Has the allocator share its memory out over as many heaps as there are cores. To be called early: threads keep the heaps
    /// that they have.
    ///
    /// By itself it makes up to eight heaps a core, one for each thread. What one thread allocates and another frees, as values are that come
    /// from PostgreSQL and leave the cache, then leaves holes in many heaps that no other thread fills: a third more memory in all.
    package static func shareHeaps() {
        // Whoever sets this knows better.
        guard getenv("MALLOC_ARENA_MAX") == nil, let address = dlsym(nil, "mallopt") else { return }
        _ = unsafeBitCast(address, to: (@convention(c) (Int32, Int32) -> Int32).self)(arenaMaximum, Int32(clamping: System.coreCount))
    }

    /// M_ARENA_MAX of glibc's malloc.h, which Swift's module for it leaves out.
    private static let arenaMaximum: Int32 = -8

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
