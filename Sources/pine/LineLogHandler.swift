// Owns: how log lines look: text for people, JSON for machines; to standard error, one write a line.
import Bytes
import Foundation
import Logging

enum LogFormat: String, CaseIterable {
    case text
    case json

    /// Text on a terminal, JSON otherwise.
    static var suitable: LogFormat { isatty(2) == 1 ? .text : .json }
}

struct LineLogHandler: LogHandler {
    let format: LogFormat
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var fields = metadata
        if let more = event.metadata { fields.merge(more) { $1 } }
        let sorted = fields.map { ($0.key, "\($0.value)") }.sorted { $0.0 < $1.0 }
        let time = Date().formatted(
            .iso8601.year().month().day().timeZone(separator: .omitted).time(includingFractionalSeconds: true))
        var line: String
        switch format {
        case .text:
            line = "\(time) \(event.level) \(event.message)"
            for (key, value) in sorted { line += " \(key)=\(value.contains(" ") ? Quoted.json(value) : value)" }
        case .json:
            line = "{\"ts\":\"\(time)\",\"level\":\"\(event.level)\",\"msg\":\(Quoted.json("\(event.message)"))"
            for (key, value) in sorted { line += ",\(Quoted.json(key)):\(Quoted.json(value))" }
            line += "}"
        }
        line += "\n"
        line.withUTF8 { bytes in
            // A log that can't be written must not stop the server.
            _ = write(2, bytes.baseAddress, bytes.count)
        }
    }
}
