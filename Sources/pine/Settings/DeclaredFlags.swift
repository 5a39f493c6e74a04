// Owns: what the commands declare: which flags each takes, as ArgumentParser knows them.
// Must never: list a flag by hand. What a command declares can be given as a variable and in the settings file without further ado.
import ArgumentParser
import Foundation

/// A flag of a command, without the dashes.
struct DeclaredFlag {
    let name: String
    /// True for one that takes no value.
    let isSwitch: Bool
    let isRepeating: Bool
    /// True for one whose value is `true` or `false`, and that means `true` without one, as Go's flags have it.
    let isTruth: Bool
    /// Whether an empty value says that there is none, as for the flags of etcd that name files, addresses and the like.
    let takesEmpty: Bool

    /// The environment variable that stands for it.
    var variable: String { "PINE_" + name.uppercased().replacing("-", with: "_") }
}

/// A command with its flags and those below it.
struct DeclaredCommand {
    let name: String
    let flags: [String: DeclaredFlag]
    let subcommands: [String: DeclaredCommand]

    /// `pine` itself and all below it.
    static let root: DeclaredCommand = {
        // The description that ArgumentParser gives of itself, which its own tools for manual pages and completions read.
        guard let dump = try? JSONDecoder().decode(Dump.self, from: Data(Pine._dumpHelp().utf8)) else {
            fatalError("ArgumentParser describes its commands in a way that is not understood")
        }
        return DeclaredCommand(dump.command)
    }()

    /// Every flag of this command and of those below it.
    var allFlags: [String: DeclaredFlag] {
        subcommands.values.reduce(flags) { $0.merging($1.allFlags) { one, _ in one } }
    }

    private init(_ command: Dump.Command) {
        name = command.commandName
        var flags: [String: DeclaredFlag] = [:]
        for argument in command.arguments ?? [] where argument.kind != "positional" {
            for spelling in argument.names ?? [] where spelling.kind == "long" && !["help", "version"].contains(spelling.name) {
                flags[spelling.name] = DeclaredFlag(
                    name: spelling.name, isSwitch: argument.kind == "flag", isRepeating: argument.isRepeating,
                    isTruth: argument.valueName == truthValue,
                    takesEmpty: emptiableValues.contains(argument.valueName ?? ""))
            }
        }
        self.flags = flags
        subcommands = Dictionary(
            (command.subcommands ?? []).map { ($0.commandName, DeclaredCommand($0)) }, uniquingKeysWith: { one, _ in one })
    }

    /// The part of ArgumentParser's description that matters here (ToolInfoV0).
    private struct Dump: Decodable {
        let command: Command

        struct Command: Decodable {
            let commandName: String
            let subcommands: [Command]?
            let arguments: [Argument]?
        }

        struct Argument: Decodable {
            let kind: String
            let isRepeating: Bool
            let valueName: String?
            let names: [Name]?
        }

        struct Name: Decodable {
            let kind: String
            let name: String
        }
    }
}

/// The names of values, as the help has them, that may be empty.
private let emptiableValues: Set = ["file", "folder", "hosts", "names", "urls", "version"]

private let truthValue = "true|false"

/// The one of `known` that `text` was most likely meant to be: at most two slips away.
func likelyMeant(_ text: String, among known: some Collection<String>) -> String? {
    let typed = Array(text.unicodeScalars)
    func slips(_ other: String) -> Int {
        // The classic table of edit distances, a row at a time.
        let wanted = Array(other.unicodeScalars)
        var row = Array(0...wanted.count)
        for (i, scalar) in typed.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, candidate) in wanted.enumerated() {
                let replaced = diagonal + (scalar == candidate ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(replaced, row[j] + 1, diagonal + 1)
            }
        }
        return row[wanted.count]
    }
    let near = known.map { (slips: slips($0), name: $0) }.filter { $0.slips <= 2 && $0.slips < typed.count }
    return near.min { ($0.slips, $0.name) < ($1.slips, $1.name) }?.name
}
