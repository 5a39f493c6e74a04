// Owns: looking at processes that are not our children. Must never: count a zombie as alive.
internal import Foundation
package import Glibc

package enum ProcessTable {
    /// The processes whose parent is `parent`, in no order.
    package static func children(of parent: pid_t) -> [pid_t] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { pid_t($0) }.filter { status($0)?.parent == parent }
    }

    package static func isAlive(_ process: pid_t) -> Bool {
        guard let status = status(process) else { return false }
        return status.state != "Z" && status.state != "X"
    }

    /// What the process has in memory, in bytes.
    package static func residentBytes(of process: pid_t) -> Int {
        let fields = contents(of: "/proc/\(process)/statm").split(separator: " ")
        return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
    }

    /// How many files and sockets the process has open.
    package static func openFileCount(of process: pid_t) -> Int {
        (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/fd"))?.count ?? 0
    }

    /// The state letter and the parent, from /proc/PID/stat; the name before them may hold spaces and parentheses.
    private static func status(_ process: pid_t) -> (state: String, parent: pid_t)? {
        let text = contents(of: "/proc/\(process)/stat")
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 1, let parent = pid_t(fields[1]) else { return nil }
        return (String(fields[0]), parent)
    }
}
