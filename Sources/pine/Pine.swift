// Owns: the command line's root: which commands there are, and how its errors end the process.
import ArgumentParser
import Changelog
import Foundation
import PineServer

@main
struct Pine: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pine",
        abstract: "Serves the etcd v3 API from PostgreSQL.",
        discussion: """
            Without a database of your own:

              pine serve                     keeps a private PostgreSQL in ./pine-data, serves on 127.0.0.1:2379

            With one:

              pine serve --postgres-file /etc/pine/postgres-url --listen-client-urls http://0.0.0.0:2379

            where the file's first line is postgres://user:password@host/database.

            `pine serve --help` explains its flags. Each can be given as an environment variable too (--data-dir is \
            PINE_DATA_DIR), and in a YAML file. `pine status` shows how a store is.

            Completions: `pine --generate-completion-script bash` (or zsh, fish) prints a script. For bash,

              pine --generate-completion-script bash > /etc/bash_completion.d/pine
            """,
        version: "pine \(Versions.pine)",
        subcommands: [Serve.self, Migrate.self, Status.self, Restore.self, Export.self, Import.self, Bench.self, Version.self])

    static func main() async {
        let given = Array(CommandLine.arguments.dropFirst())
        let notices = ProcessArguments.hidePasswords().map { [$0] } ?? []
        let settings: Settings
        do {
            settings = try Settings(given, environment: ProcessInfo.processInfo.environment)
        } catch {
            fail("\(error)")
        }
        do {
            try await Settings.$notices.withValue(notices + settings.notices) {
                var command = try parseAsRoot(settings.arguments)
                if var command = command as? any AsyncParsableCommand {
                    try await command.run()
                } else {
                    try command.run()
                }
            }
        } catch let error as UsageError {
            fail(settings.attribute(error.message))
        } catch let code as ExitCode {
            // The command has said what went wrong.
            Foundation.exit(code.rawValue)
        } catch {
            // ArgumentParser's own errors: help goes to standard output, anything else is the user's mistake.
            guard exitCode(for: error).isSuccess else {
                fail(settings.attribute(explain(message(for: error), command: given.first)))
            }
            exit(withError: error)
        }
    }

    /// ArgumentParser's message, with what the value must look like, and where to look for more.
    private static func explain(_ message: String, command: String?) -> String {
        for (valueName, form) in valueForms where message.contains(" <\(valueName)>'") { return "\(message): \(form)" }
        let commands = DeclaredCommand.root.subcommands
        if let command, commands[command] == nil, !command.hasPrefix("-") {
            let hint = likelyMeant(command, among: commands.keys).map { "did you mean \($0)?" }
            return "\(command) is not a command; \(hint ?? "`pine --help` shows what there is")"
        }
        let known = command.flatMap { commands[$0]?.name }
        let message = message.hasSuffix(".") ? message.dropLast() : message[...]
        return "\(message); `pine \(known.map { "\($0) " } ?? "")--help` shows what there is"
    }

    /// Prints what is wrong and what to do, and ends with status 2.
    private static func fail(_ message: String) -> Never {
        // What quotes an argument may quote a connection string that stands where it should not.
        tell("pine: \(Secrets.masked(message))\n")
        Foundation.exit(2)
    }
}

/// Something that the user can put right. The message is one line that says how.
struct UsageError: Error, CustomStringConvertible {
    let message: String

    init(_ message: String) { self.message = message }

    var description: String { message }
}

struct Version: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print the versions of Pine, of the API that it serves, and of its tables.")

    func run() {
        print(
            """
            pine \(Versions.pine)
            etcd API \(Versions.etcd), which is what clients are told
            tables at version \(Versions.tables)
            """)
    }
}
