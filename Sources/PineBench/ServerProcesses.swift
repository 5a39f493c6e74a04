// Owns: what the servers cost: CPU time and memory of processes on this machine, from /proc.
// Must never: fail a run where it may not read: it says nothing then.
internal import Foundation
internal import Glibc

/// What a server's processes have used so far.
struct ProcessUsage: Sendable {
    /// Seconds of the processes themselves, and of all that they have started (PostgreSQL's).
    var ownSeconds = 0.0
    var childSeconds = 0.0
    /// Bytes in memory, what is shared counted once: by the proportional set size, where the kernel lets us read it.
    var ownMemory = 0
    var childMemory = 0
}

package struct ServerProcesses: Sendable {
    package let roots: [Int]

    /// The processes of these numbers, with all that they have started.
    package init(_ roots: [Int]) { self.roots = roots }

    /// The process of this machine that listens on `port`, where it is found.
    package init?(listeningOn port: Int) {
        let sockets = Self.sockets(listeningOn: port)
        guard !sockets.isEmpty else { return nil }
        for process in Self.numbers() {
            let folder = "/proc/\(process)/fd"
            guard let files = try? FileManager.default.contentsOfDirectory(atPath: folder) else { continue }
            for file in files {
                guard let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\(file)") else { continue }
                if sockets.contains(target) {
                    roots = [process]
                    return
                }
            }
        }
        return nil
    }

    private static func sockets(listeningOn port: Int) -> Set<String> {
        var found: Set<String> = []
        let suffix = ":" + String(format: "%04X", port)
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            guard let text = try? String(contentsOfFile: table, encoding: .utf8) else { continue }
            for line in text.split(separator: "\n").dropFirst() {
                let fields = line.split(separator: " ")
                // 0A is LISTEN; the tenth field is the socket's inode.
                if fields.count > 9, fields[1].hasSuffix(suffix), fields[3] == "0A" { found.insert("socket:[\(fields[9])]") }
            }
        }
        return found
    }

    private static func numbers() -> [Int] {
        ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { Int($0) }
    }

    /// What has been used so far; nil where a process is gone.
    func usage() -> ProcessUsage? {
        var parents: [Int: Int] = [:]
        var seconds: [Int: Double] = [:]
        let tick = Double(sysconf(Int32(_SC_CLK_TCK)))
        for process in Self.numbers() {
            guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
                let name = text.lastIndex(of: ")")
            else { continue }
            // After the name: state, parent, ...; from the twelfth on utime, stime, and those of reaped children.
            let fields = text[text.index(after: name)...].split(separator: " ")
            guard fields.count > 14, let parent = Int(fields[1]) else { continue }
            parents[process] = parent
            seconds[process] = fields[11...14].reduce(0) { $0 + (Double($1) ?? 0) } / tick
        }
        var usage = ProcessUsage()
        for root in roots {
            guard let own = seconds[root] else { return nil }
            usage.ownSeconds += own
            usage.ownMemory += Self.memory(root)
        }
        var pending = roots
        while let parent = pending.popLast() {
            for (child, itsParent) in parents where itsParent == parent && !roots.contains(child) {
                usage.childSeconds += seconds[child] ?? 0
                usage.childMemory += Self.memory(child)
                pending.append(child)
            }
        }
        return usage
    }

    private static func memory(_ process: Int) -> Int {
        for (file, field) in [("smaps_rollup", "Pss:"), ("status", "VmRSS:")] {
            guard let text = try? String(contentsOfFile: "/proc/\(process)/\(file)", encoding: .utf8) else { continue }
            for line in text.split(separator: "\n") where line.hasPrefix(field) {
                let fields = line.split(separator: " ")
                if fields.count > 1, let kibibytes = Int(fields[1]) { return kibibytes << 10 }
            }
        }
        return 0
    }

    /// The CPU time of this process so far, in seconds.
    static func ownSeconds() -> Double {
        var usage = rusage()
        getrusage(RUSAGE_SELF.rawValue, &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }
}
