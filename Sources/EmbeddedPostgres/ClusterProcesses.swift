// Owns: finding and ending processes of a cluster that an earlier Pine left behind.
// Must never: signal a process that isn't proven to belong to this cluster.
internal import Glibc
internal import Logging

/// The processes that work in a cluster's folder. PostgreSQL's postmaster changes into its data folder, and its children
/// stay there, so their current directory tells them from everybody else's.
struct ClusterProcesses {
    /// The cluster's folder, absolute and without symbolic links.
    let data: String
    /// Whose processes they are.
    let user: ServerUser
    let logger: Logger

    /// How long a fast shutdown, with its checkpoint, may take before an immediate one.
    var fastShutdownLimit = Duration.seconds(60)
    /// How long processes may take to notice that their postmaster is gone, or to end at once, before they are killed.
    var noticeLimit = Duration.seconds(5)

    /// All of them, postmaster and children.
    func find() -> [pid_t] {
        Files.list("/proc").compactMap { pid_t($0) }.filter { $0 != getpid() && belongs($0) }
    }

    /// Ends all of them: the cluster is at rest, or being recovered by nobody, when this returns.
    func end() async throws(EmbeddedPostgresError) {
        var running = find()
        if let postmaster = postmaster(), running.contains(postmaster) {
            logger.warning("an earlier pine left its PostgreSQL running: stopping it", metadata: ["process": "\(postmaster)"])
            kill(postmaster, SIGINT)
            if await !areGone({ [postmaster] }, within: fastShutdownLimit) {
                logger.warning("it takes too long: stopping it at once", metadata: ["process": "\(postmaster)"])
                kill(postmaster, SIGQUIT)
            }
        }
        // Children end by themselves when they find their postmaster gone; one that works hard may be late.
        if await !areGone(find, within: noticeLimit) {
            running = find()
            logger.warning("killing PostgreSQL's last processes", metadata: ["processes": "\(running)"])
            for process in running { kill(process, SIGKILL) }
            guard await areGone(find, within: noticeLimit) else {
                throw EmbeddedPostgresError(
                    .startFailed,
                    "an old PostgreSQL in \(data) can't be ended (processes \(find())); end it, then start pine again")
            }
        }
        try removeForeignLockFile()
    }

    /// The process that postmaster.pid names, whether it lives or not.
    private func postmaster() -> pid_t? {
        user.withFileRights { Files.read("\(data)/postmaster.pid") }?.split(separator: "\n").first.flatMap { pid_t($0) }
    }

    /// PostgreSQL takes a lock file seriously where any process of its user has that number, and refuses to start. After a
    /// reboot, and soon in a container, the number belongs to somebody else; after a crash it may be a zombie's that nobody has
    /// reaped yet. None of the cluster's processes is left here.
    private func removeForeignLockFile() throws(EmbeddedPostgresError) {
        guard let postmaster = postmaster(), kill(postmaster, 0) == 0, !belongs(postmaster) else { return }
        logger.info("removing a stale postmaster.pid", metadata: ["process": "\(postmaster)"])
        try user.withFileRights { () throws(EmbeddedPostgresError) in try Files.remove("\(data)/postmaster.pid") }
    }

    /// A PostgreSQL program of the user that works in the folder, or was given it: an operator's shell in the folder is none of ours.
    private func belongs(_ process: pid_t) -> Bool {
        guard Files.status("/proc/\(process)")?.owner == user.uid else { return false }
        let name = (Files.read("/proc/\(process)/comm") ?? "").trimmed
        guard ["postgres", "postmaster", "initdb"].contains(name), Self.isAlive(process) else { return false }
        var target = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let length = readlink("/proc/\(process)/cwd", &target, Int(PATH_MAX))
        if length >= 0, String(decoding: target[..<length].map({ UInt8(bitPattern: $0) }), as: UTF8.self) == data { return true }
        // initdb stays where it was. And root in a container may look at everybody's arguments, but not at their directories;
        // then only the postmaster is found, and PostgreSQL's own checks guard against its children.
        return (Files.read("/proc/\(process)/cmdline") ?? "").split(separator: "\0").contains { $0 == data }
    }

    private func areGone(_ processes: () -> [pid_t], within limit: Duration) async -> Bool {
        let deadline = ContinuousClock.now + limit
        while processes().contains(where: Self.isAlive) {
            if ContinuousClock.now >= deadline { return false }
            try? await Task.sleep(for: .milliseconds(20))
        }
        return true
    }

    /// Whether the process exists and is no zombie: one that nobody reaps is gone for all that matters here.
    static func isAlive(_ process: pid_t) -> Bool {
        guard kill(process, 0) == 0 || errno == EPERM else { return false }
        guard let text = Files.read("/proc/\(process)/stat"), let end = text.lastIndex(of: ")") else { return true }
        return !["Z", "X"].contains(text[text.index(after: end)...].split(separator: " ").first ?? "")
    }
}
