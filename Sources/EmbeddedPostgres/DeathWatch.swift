// Owns: what happens to PostgreSQL when Pine is killed. Must never: end a PostgreSQL whose Pine lives.
// Invariant: the shell runs when `init` returns, and whatever is named later reaches it, even when Pine is killed right after.
internal import Glibc
internal import Synchronization

/// A shell at the other end of a socket: when that closes without a good-bye, Pine was killed, and the shell asks the
/// postmaster for a fast shutdown. (PR_SET_PDEATHSIG would fire at the end of the *thread* that started the child.)
/// Should the shell be killed as well, the next start finds and stops the old PostgreSQL.
///
/// It is started by the thread that calls, not by a task: where all threads of the pool are busy, a task could begin long after PostgreSQL.
final class DeathWatch: Sendable {
    private let descriptor: Int32
    private let shell: pid_t
    private let isReaped = Atomic(false)

    /// Each line is the process to end, or empty for none; the last one counts.
    private static let script = """
        process=
        while read -r line; do process=$line; done
        [ -z "$process" ] || kill -s INT "$process"
        """

    init(user: ServerUser) throws(EmbeddedPostgresError) {
        let (program, arguments) = try user.command("/bin/sh", ["-c", Self.script, "pine-death-watch"])
        let (ours, theirs) = try Self.socketPair()
        descriptor = ours
        let started = Self.spawn(program, arguments, input: theirs)
        close(theirs)
        guard let shell = started else {
            close(ours)
            throw EmbeddedPostgresError(.startFailed, "can't start \(program): \(Files.lastError)")
        }
        self.shell = shell
    }

    /// From now on `process` goes when Pine is killed; nil: none.
    func watch(_ process: pid_t?) {
        let line = Array("\(process.map { "\($0)" } ?? "")\n".utf8)
        _ = send(descriptor, line, line.count, Int32(MSG_NOSIGNAL))
    }

    /// How long the shell may take to end after a good-bye; one that hangs is killed.
    private static let endLimit = Duration.seconds(5)

    /// Says good-bye. To be called once.
    func end() async {
        watch(nil)
        shutdown(descriptor, Int32(SHUT_RDWR))
        let deadline = ContinuousClock.now + Self.endLimit
        while waitpid(shell, nil, WNOHANG) == 0 {
            if ContinuousClock.now >= deadline { kill(shell, SIGKILL) }
            try? await Task.sleep(for: .milliseconds(2))
        }
        isReaped.store(true, ordering: .relaxed)
    }

    /// Without a good-bye the shell does its work and ends: nobody else would take its exit status.
    deinit {
        close(descriptor)
        if !isReaped.load(ordering: .relaxed) { Self.reap(shell) }
    }

    private static func reap(_ process: pid_t) {
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { process in
                waitpid(pid_t(Int(bitPattern: process)), nil, 0)
                return nil
            }, UnsafeMutableRawPointer(bitPattern: Int(process)))
        if status == 0 { pthread_detach(thread) }
    }

    /// Two ends of a stream that no other child inherits.
    static func socketPair() throws(EmbeddedPostgresError) -> (Int32, Int32) {
        var pair: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &pair) == 0 else {
            throw EmbeddedPostgresError(.startFailed, "can't make a socket pair: \(Files.lastError)")
        }
        return (pair[0], pair[1])
    }

    /// Starts `program` in a session of its own, where Ctrl-C in our terminal does not reach it. nil, with errno, where that fails.
    private static func spawn(_ program: String, _ arguments: [String], input: Int32) -> pid_t? {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input, 0)
        for output in [Int32(1), 2] { posix_spawn_file_actions_addopen(&actions, output, "/dev/null", O_WRONLY, 0) }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // Pine ignores some signals, and whoever started it may have blocked others: a child would inherit both.
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        for number in [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGCHLD] { sigaddset(&signals, number) }
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(setSession | Int32(POSIX_SPAWN_SETSIGMASK) | Int32(POSIX_SPAWN_SETSIGDEF)))

        var argv: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
        var environment: [UnsafeMutablePointer<CChar>?] = Tool.variables.map { strdup("\($0)=\($1)") } + [nil]
        defer { for text in argv + environment { free(text) } }
        var process: pid_t = 0
        errno = posix_spawn(&process, program, &actions, &attributes, &argv, &environment)
        return errno == 0 ? process : nil
    }

    /// POSIX_SPAWN_SETSID, which Swift's import of glibc lacks.
    private static let setSession: Int32 = 0x80
}
