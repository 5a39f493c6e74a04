// Owns: what was logged, for tests to look at.
import Logging
import Synchronization

/// Keeps the lines that are logged at `info` and above: level, message, and the reason where there is one.
final class Lines: Sendable {
    private let lines = Mutex<[String]>([])

    func add(_ line: String) { lines.withLock { $0.append(line) } }

    func all() -> [String] { lines.withLock { $0 } }

    func count(of part: String) -> Int { all().count { $0.contains(part) } }

    /// A logger that writes here.
    var logger: Logger { Logger(label: "test") { _ in RecordingHandler(lines: self) } }
}

struct RecordingHandler: LogHandler {
    let lines: Lines
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: Logging.LogEvent) {
        lines.add("\(event.level) \(event.message) \(event.metadata?["reason"] ?? "")")
    }
}
