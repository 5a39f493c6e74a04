// Owns: the flags that say what is logged and how, for every command that logs.
import ArgumentParser
import Logging

struct LogOptions: ParsableArguments {
    @Option(help: ArgumentHelp("trace, debug, info, warn or error.", valueName: "level"))
    var logLevel = LogLevel.info

    @Option(help: ArgumentHelp("text or json. The default is text on a terminal, JSON otherwise.", valueName: "format"))
    var logFormat: LogFormat?

    func makeLogger() -> Logger {
        let format = logFormat ?? .suitable
        let level = logLevel.level
        return Logger(label: "pine") { _ in LineLogHandler(format: format, logLevel: level) }
    }
}

enum LogLevel: String, ExpressibleByArgument {
    case trace, debug, info, warn, error

    /// Etcd's levels are taken too.
    init?(argument: String) {
        switch argument {
        case "warning": self = .warn
        case "dpanic", "panic", "fatal": self = .error
        default: self.init(rawValue: argument)
        }
    }

    var level: Logger.Level {
        switch self {
        case .trace: .trace
        case .debug: .debug
        case .info: .info
        case .warn: .warning
        case .error: .error
        }
    }
}

extension LogFormat: ExpressibleByArgument {
    /// Etcd's name for text is console.
    init?(argument: String) { self.init(rawValue: argument == "console" ? "text" : argument) }
}
