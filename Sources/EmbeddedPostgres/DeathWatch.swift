// Owns: what happens to PostgreSQL when Pine is killed. Must never: end a PostgreSQL whose Pine lives.
internal import Glibc
internal import Subprocess
internal import SystemPackage

/// A shell at the other end of a socket: when that closes without a good-bye, Pine was killed, and the shell asks the
/// postmaster for a fast shutdown. (PR_SET_PDEATHSIG would fire at the end of the *thread* that started the child.)
/// Should the shell be killed as well, the next start finds and stops the old PostgreSQL.
final class DeathWatch: Sendable {
    private let descriptor: Int32
    private let shell: Task<Void, Never>

    /// Each line is the process to end, or empty for none; the last one counts.
    private static let script = """
        process=
        while read -r line; do process=$line; done
        [ -z "$process" ] || kill -s INT "$process"
        """

    init(user: ServerUser) throws(EmbeddedPostgresError) {
        let (program, arguments) = try user.command("/bin/sh", ["-c", Self.script, "pine-death-watch"])
        var pair: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &pair) == 0 else {
            throw EmbeddedPostgresError(.startFailed, "can't make a socket pair: \(Files.lastError)")
        }
        descriptor = pair[0]
        let input = FileDescriptor(rawValue: pair[1])
        shell = Task {
            // Its end is of no interest: a watch that is gone only makes the next start slower.
            _ = try? await Subprocess.run(
                .path(FilePath(program)), arguments: Arguments(arguments), environment: Tool.environment,
                workingDirectory: "/", platformOptions: Tool.platformOptions,
                input: .fileDescriptor(input, closeAfterSpawningProcess: true), output: .discarded, error: .discarded)
        }
    }

    /// From now on `process` goes when Pine is killed; nil: none.
    func watch(_ process: pid_t?) {
        let line = Array("\(process.map { "\($0)" } ?? "")\n".utf8)
        _ = send(descriptor, line, line.count, Int32(MSG_NOSIGNAL))
    }

    /// Says good-bye.
    func end() async {
        watch(nil)
        shutdown(descriptor, Int32(SHUT_RDWR))
        await shell.value
    }

    deinit {
        close(descriptor)
    }
}
