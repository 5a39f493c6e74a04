// Owns: running a tool to its end. Must never: leave it running after the deadline.
internal import Foundation
internal import Glibc

/// What a tool said and how it ended.
package struct CommandResult: Sendable {
    package let stdout: String
    package let stderr: String
    package let exit: ExitStatus

    /// The exit status, or 128 + the signal as shells count it.
    package var status: Int32 {
        switch exit {
        case .exited(let code): code
        case .killed(let signal): 128 + signal
        }
    }
}

/// Runs `executable` (a path) to its end, at most for `timeout`. `input` nil means /dev/null.
package func runCommand(
    _ executable: String, _ arguments: [String], environment: [String: String]? = nil, workingDirectory: String = "/",
    input: [UInt8]? = nil, user: UnprivilegedUser? = nil, timeout: Duration = .seconds(60)
) throws -> CommandResult {
    // Unlinked files rather than pipes: no reader is needed while the tool runs, and no output is too long.
    let output = try UnlinkedFile()
    let error = try UnlinkedFile()
    let source = try input.map { try UnlinkedFile(content: $0) }
    let (program, all) = try user.map { try $0.command(executable, arguments) } ?? (executable, arguments)
    let pid = try spawn(
        program, all, environment: environment, workingDirectory: workingDirectory, input: source?.descriptor,
        output: output.descriptor, error: error.descriptor, newSession: false)
    Watchdog.watch(pid)
    defer { Watchdog.forget(pid) }
    var raw: Int32 = 0
    do {
        try eventuallyBlocking("the end of \(program) \(all.joined(separator: " "))", timeout: timeout) {
            waitpid(pid, &raw, WNOHANG) == pid
        }
    } catch let late {
        kill(-pid, SIGKILL)
        waitpid(pid, &raw, 0)
        throw late
    }
    return CommandResult(stdout: output.text, stderr: error.text, exit: ExitStatus(raw: raw))
}

/// The path of `name` in PATH or one of `folders`; throws one line that says to `install` what.
package func findExecutable(_ name: String, in folders: [String] = [], install: String) throws -> String {
    let path = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
    for folder in folders + path where access("\(folder)/\(name)", X_OK) == 0 { return "\(folder)/\(name)" }
    throw TestSupportError("\(name) is missing: \(install)")
}

private final class UnlinkedFile {
    let descriptor: Int32

    init(content: [UInt8] = []) throws {
        var template = Array("\(Watchdog.root)/output-XXXXXX".utf8CString)
        descriptor = mkstemp(&template)
        guard descriptor >= 0 else { throw TestSupportError("can't make a file: \(String(cString: strerror(errno)))") }
        unlink(template)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        guard content.isEmpty || write(descriptor, content, content.count) == content.count else {
            throw TestSupportError("can't write a temporary file: \(String(cString: strerror(errno)))")
        }
        lseek(descriptor, 0, SEEK_SET)
    }

    deinit { close(descriptor) }

    var text: String {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = pread(descriptor, &chunk, chunk.count, off_t(bytes.count))
            if count <= 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk[..<count]
        }
    }
}
