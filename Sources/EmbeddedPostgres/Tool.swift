// Owns: running one of PostgreSQL's tools to its end.
// Must never: pass on our environment: PGDATA, PGPORT, a locale or a preloaded library would change what the tools do.
internal import Subprocess
internal import SystemPackage

struct ToolResult {
    let succeeded: Bool
    /// Both outputs, in the order they were printed.
    let output: String

    /// The line that says what went wrong: the first with a severity, else the last.
    var reason: String {
        let lines = output.split(separator: "\n").map { $0.trimmed }.filter { !$0.isEmpty }
        let severe = lines.first { line in ["FATAL:", "PANIC:", "ERROR:", "error:"].contains { line.contains($0) } }
        return severe ?? lines.last ?? "it printed nothing"
    }
}

enum Tool {
    private static let outputLimit = 1 << 20

    static let variables = ["PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"]

    static let environment = Environment.custom(
        Dictionary(uniqueKeysWithValues: variables.map { (Environment.Key(stringLiteral: $0), $1) }))

    /// A session of its own, so that Ctrl-C in our terminal reaches us only.
    static let platformOptions: PlatformOptions = {
        var options = PlatformOptions()
        options.createSession = true
        return options
    }()

    /// Runs `path` with `input` on its standard input.
    static func run(
        _ path: String, _ arguments: [String], input: String = "", user: ServerUser? = nil
    ) async throws(EmbeddedPostgresError) -> ToolResult {
        let (program, all) = try user?.command(path, arguments) ?? (path, arguments)
        do {
            let result = try await Subprocess.run(
                .path(FilePath(program)), arguments: Arguments(all), environment: environment, workingDirectory: "/",
                platformOptions: platformOptions, input: .string(input),
                output: .string(limit: outputLimit), error: .combinedWithOutput)
            return ToolResult(succeeded: result.terminationStatus.isSuccess, output: result.standardOutput)
        } catch {
            throw EmbeddedPostgresError(.startFailed, "can't run \(path): \(error)")
        }
    }
}

extension StringProtocol {
    var trimmed: String {
        var rest = self[...]
        while rest.last?.isWhitespace == true { rest.removeLast() }
        while rest.first?.isWhitespace == true { rest.removeFirst() }
        return String(rest)
    }
}
