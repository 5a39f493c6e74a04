// Owns: how much memory this process may use.
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
}
