// Owns: a child process from its start to its reaping.
// Must never: send a signal to a process identifier that was reaped already, since it may belong to somebody else by then.
// Invariant: the status is taken by `waitpid` once, under the lock.
//
// Plain posix_spawn rather than swift-subprocess: a server in a test lives in an object, not in the scope of one closure,
// is killed at chosen moments, and has to be stopped from `deinit`.
internal import Foundation
package import Glibc
internal import Synchronization

/// How a process ended.
package enum ExitStatus: Sendable, Equatable, CustomStringConvertible {
    case exited(Int32)
    case killed(signal: Int32)

    package var description: String {
        switch self {
        case .exited(let code): "exited with status \(code)"
        case .killed(let signal): "was killed by signal \(signal)"
        }
    }
}

/// A running program, in a process group of its own, with /dev/null as its input and a file as its output.
package final class ChildProcess: Sendable {
    package let processIdentifier: pid_t
    package let name: String
    private let status = Mutex<ExitStatus?>(nil)

    /// Starts `executable` (a path). `outputPath` gets what it prints on both outputs, appended. `environment` nil means ours, `input` nil
    /// means /dev/null.
    package init(
        _ executable: String, _ arguments: [String], environment: [String: String]? = nil, workingDirectory: String = "/",
        input: Int32? = nil, outputPath: String, user: UnprivilegedUser? = nil
    ) throws {
        name = executable.split(separator: "/").last.map(String.init) ?? executable
        let output = open(outputPath, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard output >= 0 else { throw TestSupportError("can't write \(outputPath): \(String(cString: strerror(errno)))") }
        defer { close(output) }
        let (program, all) = try user.map { try $0.command(executable, arguments) } ?? (executable, arguments)
        processIdentifier = try spawn(
            program, all, environment: environment, workingDirectory: workingDirectory, input: input, output: output,
            error: output, newSession: false)
        Watchdog.watch(processIdentifier)
    }

    deinit {
        kill(SIGKILL)
        _ = try? waitForExit()
    }

    /// The status where the process has ended, nil while it runs.
    package var exitStatus: ExitStatus? { status.withLock { reap(&$0, WNOHANG) } }

    package var isRunning: Bool { exitStatus == nil }

    /// Sends `signal` to the process; does nothing where it has ended.
    package func kill(_ signal: Int32) {
        status.withLock {
            if reap(&$0, WNOHANG) == nil { _ = Glibc.kill(processIdentifier, signal) }
        }
    }

    /// Blocks until the process has ended. Throws after `timeout`, leaving it running.
    @discardableResult
    package func waitForExit(timeout: Duration = .seconds(60)) throws -> ExitStatus {
        var ended: ExitStatus?
        try eventuallyBlocking("the end of \(name) (process \(processIdentifier))", timeout: timeout) {
            ended = exitStatus
            return ended != nil
        }
        return ended!
    }

    private func reap(_ status: inout ExitStatus?, _ options: Int32) -> ExitStatus? {
        if status != nil { return status }
        var raw: Int32 = 0
        guard waitpid(processIdentifier, &raw, options) == processIdentifier else { return nil }
        status = ExitStatus(raw: raw)
        Watchdog.forget(processIdentifier)
        return status
    }
}

extension ExitStatus {
    init(raw: Int32) {
        self = raw & 0x7F == 0 ? .exited(raw >> 8 & 0xFF) : .killed(signal: raw & 0x7F)
    }
}

/// posix_spawn without inherited descriptors. Descriptors that are nil become /dev/null.
func spawn(
    _ executable: String, _ arguments: [String], environment: [String: String]?, workingDirectory: String, input: Int32?,
    output: Int32?, error: Int32?, newSession: Bool
) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for (number, descriptor) in [(Int32(0), input), (1, output), (2, error)] {
        if let descriptor {
            posix_spawn_file_actions_adddup2(&actions, descriptor, number)
        } else {
            posix_spawn_file_actions_addopen(&actions, number, "/dev/null", number == 0 ? O_RDONLY : O_WRONLY, 0)
        }
    }
    guard GNUSpawn.addWorkingDirectory(&actions, workingDirectory) == 0, GNUSpawn.addCloseFrom(&actions, 3) == 0 else {
        throw TestSupportError("this C library can't start \(executable) in \(workingDirectory)")
    }

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    // A test process may ignore SIGPIPE; its children must not inherit that.
    sigaddset(&signals, SIGPIPE)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    let own = newSession ? GNUSpawn.setSession : Int32(POSIX_SPAWN_SETPGROUP)
    posix_spawnattr_setflags(&attributes, Int16(own | Int32(POSIX_SPAWN_SETSIGMASK) | Int32(POSIX_SPAWN_SETSIGDEF)))

    var argv: [UnsafeMutablePointer<CChar>?] = ([executable] + arguments).map { strdup($0) }
    argv.append(nil)
    defer { for text in argv { free(text) } }
    let variables = environment ?? ProcessInfo.processInfo.environment
    var envp: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0.key)=\($0.value)") }
    envp.append(nil)
    defer { for text in envp { free(text) } }

    var pid: pid_t = 0
    let failure = posix_spawn(&pid, executable, &actions, &attributes, argv, envp)
    guard failure == 0 else { throw TestSupportError("can't start \(executable): \(String(cString: strerror(failure)))") }
    return pid
}

/// What glibc has but its Swift module leaves out, since that is built without _GNU_SOURCE.
private enum GNUSpawn {
    typealias Actions = UnsafeMutablePointer<posix_spawn_file_actions_t>

    /// POSIX_SPAWN_SETSID
    static let setSession: Int32 = 0x80

    /// posix_spawn_file_actions_addchdir_np
    static func addWorkingDirectory(_ actions: Actions, _ path: String) -> Int32 {
        guard let address = dlsym(nil, "posix_spawn_file_actions_addchdir_np") else { return ENOSYS }
        typealias Function = @convention(c) (Actions, UnsafePointer<CChar>) -> Int32
        return unsafeBitCast(address, to: Function.self)(actions, path)
    }

    /// posix_spawn_file_actions_addclosefrom_np
    static func addCloseFrom(_ actions: Actions, _ first: Int32) -> Int32 {
        guard let address = dlsym(nil, "posix_spawn_file_actions_addclosefrom_np") else { return ENOSYS }
        typealias Function = @convention(c) (Actions, Int32) -> Int32
        return unsafeBitCast(address, to: Function.self)(actions, first)
    }
}
