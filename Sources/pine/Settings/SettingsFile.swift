// Owns: reading the settings file: YAML, one map from flags' names to values.
// Must never: guess. What is not understood is an error that names the line.
import Foundation
import Yams

/// What a settings file says, each key with its line.
struct SettingsFile {
    struct Entry {
        /// A flag's name.
        let name: String
        /// More than one where the file has a list; nil where it has a map, which no flag of ours takes.
        let values: [String]?
        let line: Int
    }

    let path: String
    let entries: [Entry]

    /// The map in which etcd's file has the flags for TLS towards clients, under the same names.
    private static let etcdClientSecurity = "client-transport-security"

    init(path: String) throws {
        self.path = path
        errno = 0
        guard let data = FileManager.default.contents(atPath: path) else {
            // A folder, for example, is no error to the system.
            let reason = errno == 0 ? "it is not a file" : String(cString: strerror(errno))
            throw UsageError("can't read the settings file \(path): \(reason)")
        }
        guard let text = String(bytes: data, encoding: .utf8) else { throw UsageError("\(path) is not UTF-8 text") }
        let node: Node?
        do {
            node = try Yams.compose(yaml: text)
        } catch {
            throw UsageError("\(path) is not YAML: \(Self.oneLine(error))")
        }
        // An empty file says nothing, which is fine.
        guard let node, node.null == nil else {
            entries = []
            return
        }
        guard let mapping = node.mapping else {
            throw UsageError("\(path) must have a line for each setting, such as `max-txn-ops: 128`")
        }
        var entries: [Entry] = []
        for (key, value) in mapping {
            let line = key.mark?.line ?? 0
            guard let name = key.string else { throw UsageError("\(path):\(line): a key must be a flag's name") }
            if name == Self.etcdClientSecurity, let inner = value.mapping {
                for (key, value) in inner { try entries.append(contentsOf: Self.entry(key, value, path).map { [$0] } ?? []) }
            } else if let entry = try Self.entry(key, value, path) {
                entries.append(entry)
            }
        }
        self.entries = entries
    }

    private static func entry(_ key: Node, _ value: Node, _ path: String) throws -> Entry? {
        let line = key.mark?.line ?? 0
        guard let name = key.string else { throw UsageError("\(path):\(line): a key must be a flag's name") }
        if value.null != nil { return nil }
        if let list = value.sequence {
            let values = try list.map { element in
                guard let text = element.scalar?.string else {
                    throw UsageError("\(path):\(line): \(name) must be a list of plain values")
                }
                return text
            }
            return values.isEmpty ? nil : Entry(name: name, values: values, line: line)
        }
        return Entry(name: name, values: value.scalar.map { [$0.string] }, line: line)
    }

    /// Yams shows the place over several lines.
    private static func oneLine(_ error: any Error) -> String {
        if case YamlError.duplicatedKeysInMapping(let keys, let context) = error {
            return "line \(context.mark.line) starts a map that has \(keys.map { "\($0)" }.joined(separator: ", ")) twice"
        }
        let line = "\(error)".split(separator: "\n").first.map(String.init) ?? "\(error)"
        return line.hasSuffix(":") ? String(line.dropLast()) : line
    }
}
