// Owns: where settings come from, and which wins: a flag over its variable, over the settings file, over the default.
// Must never: know a flag by name, other than the one that names the file.
import ArgumentParser
import Foundation

/// The arguments of one command, gathered from everywhere.
struct Settings {
    /// What ArgumentParser gets.
    private(set) var arguments: [String]
    /// What the operator should hear once there is a log.
    private(set) var notices: [String] = []
    /// Where a flag that isn't on the command line was set, by its name.
    private var origins: [String: String] = [:]

    static let fileFlag = "config-file"

    /// Inside a command's `run`: the notices of its settings.
    @TaskLocal static var notices: [String] = []

    init(_ given: [String], environment: [String: String]) throws {
        var command = DeclaredCommand.root
        var rest = given[...]
        while let next = rest.first, let sub = command.subcommands[next] {
            command = sub
            rest = rest.dropFirst()
        }
        arguments = Array(given[..<rest.startIndex])
        let asksForHelp = rest.prefix { $0 != "--" }.contains { ["--help", "-h", "--version"].contains($0) }
        guard !arguments.isEmpty, !asksForHelp else {
            arguments = given
            return
        }
        var line = try CommandLineFlags(rest, of: command)
        var ignored = line.ignored
        var added: [String] = []
        for (variable, value) in environment.sorted(by: { $0.key < $1.key }) where variable.hasPrefix("PINE_") {
            guard let flag = command.flags.values.first(where: { $0.variable == variable }) else {
                warnOfSlip(variable, command)
                continue
            }
            guard line.names.insert(flag.name).inserted else { continue }
            added += try Self.spell(flag, [value], from: variable)
            origins[flag.name] = variable
        }
        if command.flags[Self.fileFlag] != nil, let path = line.file ?? environment["PINE_CONFIG_FILE"] {
            let file = try SettingsFile(path: path)
            for entry in file.entries {
                let place = "\(file.path):\(entry.line)"
                guard let flag = command.flags[entry.name], flag.name != Self.fileFlag else {
                    if try Self.isForAnother(entry, place) { continue }
                    ignored.append(entry.name)
                    continue
                }
                guard line.names.insert(flag.name).inserted else { continue }
                guard let values = entry.values else {
                    throw UsageError("\(place): \(flag.name) must be a value, not a map")
                }
                added += try Self.spell(flag, values, from: "\(place): \(flag.name)")
                origins[flag.name] = place
            }
        }
        arguments += added + line.arguments
        if !ignored.isEmpty {
            let names = Set(ignored).sorted().map { "--\($0)" }.joined(separator: ", ")
            notices.append("flags of etcd that mean nothing to Pine have no effect: \(names)")
        }
    }

    /// `message`, with the place where the flags that it names were set, if that isn't the command line.
    func attribute(_ message: String) -> String {
        let places = origins.filter { flag, _ in
            message.ranges(of: "--\(flag)").contains { range in
                guard range.upperBound < message.endIndex else { return true }
                let next = message[range.upperBound]
                return next != "-" && !next.isLetter && !next.isNumber
            }
        }
        guard !places.isEmpty else { return message }
        return "\(places.values.sorted().joined(separator: ", ")): \(message)"
    }

    // MARK: Inside

    /// Whether a key of the file is another command's flag: one file serves all of them. False for one that is to be ignored.
    private static func isForAnother(_ entry: SettingsFile.Entry, _ place: String) throws -> Bool {
        let name = entry.name
        let known = DeclaredCommand.root.allFlags
        if name != fileFlag {
            if known[name] != nil { return true }
            if EtcdFlags.isIgnored(name, value: entry.values?.first) { return false }
        }
        let meant = likelyMeant(name, among: known.keys.filter { $0 != fileFlag })
        let hint = meant.map { "did you mean \($0)?" } ?? "the keys are the flags that `pine serve --help` shows, without dashes"
        throw UsageError("\(place): \(name) is not a setting; \(hint)")
    }

    /// Other variables may belong to another program's idea of PINE_, so only what looks like a slip is mentioned.
    private mutating func warnOfSlip(_ variable: String, _ command: DeclaredCommand) {
        guard !DeclaredCommand.root.allFlags.values.contains(where: { $0.variable == variable }) else { return }
        guard let meant = likelyMeant(variable, among: command.flags.values.map(\.variable)) else { return }
        notices.append("the variable \(variable) is not known and has no effect; did you mean \(meant)?")
    }

    /// The argument for a flag that was given elsewhere.
    private static func spell(_ flag: DeclaredFlag, _ values: [String], from place: String) throws -> [String] {
        if flag.isSwitch { return try isOn(values.joined(separator: ","), place) ? ["--\(flag.name)"] : [] }
        if flag.isTruth { return ["--\(flag.name)=\(try isOn(values.joined(separator: ","), place))"] }
        if flag.takesEmpty, values.allSatisfy(\.isEmpty) { return [] }
        if flag.isRepeating { return values.map { "--\(flag.name)=\($0)" } }
        return ["--\(flag.name)=\(values.joined(separator: ","))"]
    }

    static func isOn(_ value: String, _ place: String) throws -> Bool {
        switch value.lowercased() {
        case "1", "true", "yes", "on": return true
        case "", "0", "false", "no", "off": return false
        default: throw UsageError("\(place) is \(value), which is neither true nor false")
        }
    }
}

/// The flags on the command line, as etcd's are written too: `--client-cert-auth=true` for a switch, flags that mean nothing here.
private struct CommandLineFlags {
    private(set) var arguments: [String] = []
    var names: Set<String> = []
    private(set) var ignored: [String] = []
    /// The settings file that is named.
    private(set) var file: String?

    init(_ given: ArraySlice<String>, of command: DeclaredCommand) throws {
        var rest = given
        while let argument = rest.popFirst() {
            guard argument != "--" else {
                arguments += [argument] + rest
                break
            }
            guard argument.hasPrefix("--") else {
                arguments.append(argument)
                continue
            }
            let parts = argument.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            let value = parts.count > 1 ? String(parts[1]) : nil
            guard let flag = command.flags[name] else {
                if command.flags[Settings.fileFlag] != nil, EtcdFlags.isIgnored(name, value: value) {
                    ignored.append(name)
                    if value == nil, let next = rest.first, !next.hasPrefix("-") { rest = rest.dropFirst() }
                } else {
                    arguments.append(argument)
                }
                continue
            }
            names.insert(name)
            if flag.isSwitch, let value {
                if try Settings.isOn(value, "--\(name)") { arguments.append("--\(name)") }
                continue
            }
            if flag.isTruth {
                arguments.append("--\(name)=\(try value.map { try Settings.isOn($0, "--\(name)") } ?? true)")
                continue
            }
            if flag.takesEmpty, value?.isEmpty ?? (rest.first?.isEmpty ?? false) {
                if value == nil { rest = rest.dropFirst() }
                continue
            }
            arguments.append(argument)
            if !flag.isSwitch, value == nil, let next = rest.first {
                arguments.append(next)
                rest = rest.dropFirst()
            }
            if name == Settings.fileFlag { file = value ?? arguments.last }
        }
    }
}
