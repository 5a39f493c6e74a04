// Owns: what Linux says of this process.
internal import Foundation
internal import Glibc

/// Nil where the system doesn't say.
struct ProcessStatus {
    var cpuSeconds: Double?
    var residentBytes: Int?
    var virtualBytes: Int?
    /// Since the epoch.
    var startSeconds: Double?
    var openDescriptors: Int?
    var descriptorLimit: Int?
    var threads: Int?

    /// As it is now. Takes some file reads; not for a hot path.
    init() {
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 { descriptorLimit = Int(clamping: limit.rlim_cur) }
        openDescriptors = ProcessStatus.countDescriptors()
        // The command's name, in brackets, may hold spaces; 52 numbers follow, the first of them the state.
        guard let stat = ProcessStatus.read("/proc/self/stat"), let bracket = stat.lastIndex(of: ")") else { return }
        let fields = stat[stat.index(after: bracket)...].split(separator: " ")
        guard fields.count > 21 else { return }
        let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
        if let user = Double(fields[11]), let system = Double(fields[12]) { cpuSeconds = (user + system) / ticks }
        threads = Int(fields[17])
        virtualBytes = Int(fields[20])
        residentBytes = Int(fields[21]).map { $0 * sysconf(Int32(_SC_PAGESIZE)) }
        if let sinceBoot = Double(fields[19]), let boot = ProcessStatus.bootSeconds { startSeconds = boot + sinceBoot / ticks }
    }

    private static let bootSeconds: Double? = read("/proc/stat").flatMap { text in
        text.split(separator: "\n").first { $0.hasPrefix("btime ") }.flatMap { Double($0.dropFirst(6)) }
    }

    private static func read(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }

    /// Without the one that reading the folder takes.
    private static func countDescriptors() -> Int? {
        guard let folder = opendir("/proc/self/fd") else { return nil }
        defer { closedir(folder) }
        var count = 0
        while let entry = readdir(folder) {
            if entry.pointee.d_name.0 != UInt8(ascii: ".") { count += 1 }
        }
        return count - 1
    }
}

enum DescriptorLimit {
    /// Files and sockets of our own, PostgreSQL's connections and the private PostgreSQL among them: etcd keeps as many.
    static let reserved = 150

    /// Raises the limit of open files to what the system lets us have, and gives how many of them clients may take.
    static func raise() -> Int {
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else { return Int.max }
        if limit.rlim_cur < limit.rlim_max {
            var raised = limit
            raised.rlim_cur = limit.rlim_max
            if setrlimit(resource, &raised) == 0 { limit = raised }
        }
        return max(Int(clamping: limit.rlim_cur) - reserved, 16)
    }
}
