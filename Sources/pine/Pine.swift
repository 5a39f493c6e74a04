// Owns: the command line's root: which commands there are, and how its errors end the process.
import ArgumentParser
import Foundation

@main
struct Pine: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pine",
        abstract: "Serves the etcd v3 API from PostgreSQL.",
        discussion: """
            Without a database of your own:

              pine serve                     keeps a private PostgreSQL in ./pine-data, serves on 127.0.0.1:2379

            With one:

              pine serve --postgres postgres://user@host/database --listen-client-urls http://0.0.0.0:2379

            `pine serve --help` explains its flags. Each can be given as an environment variable: --data-dir is PINE_DATA_DIR.
            """,
        version: "pine \(pineVersion)",
        subcommands: [Serve.self, Version.self])

    static func main() async {
        do {
            var command = try parseAsRoot(try argumentsWithEnvironment())
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch let error as UsageError {
            fail(error.message)
        } catch {
            // ArgumentParser's own errors: help goes to standard output, anything else is the user's mistake.
            guard exitCode(for: error).isSuccess else {
                let command = CommandLine.arguments.dropFirst().first == Serve._commandName ? "pine serve" : "pine"
                fail("\(message(for: error)); `\(command) --help` shows what there is")
            }
            exit(withError: error)
        }
    }

    /// Prints what is wrong and what to do, and ends with status 2.
    private static func fail(_ message: String) -> Never {
        FileHandle.standardError.write(Data("pine: \(message)\n".utf8))
        Foundation.exit(2)
    }

    /// The arguments, with those from `PINE_*` variables before them, so that a flag wins over its variable.
    private static func argumentsWithEnvironment() throws -> [String] {
        var arguments = Array(CommandLine.arguments.dropFirst())
        guard arguments.first == Serve._commandName else { return arguments }
        let given = try Serve.arguments(from: ProcessInfo.processInfo.environment)
        arguments.insert(contentsOf: given, at: 1)
        return arguments
    }
}

/// Something that the user can put right. The message is one line that says how.
struct UsageError: Error {
    let message: String

    init(_ message: String) { self.message = message }
}

struct Version: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print the version.")

    func run() {
        print("pine \(pineVersion)")
    }
}

/// Pine's own version. What clients are told is etcd's, since they choose their behaviour by it.
let pineVersion = "0.1.0"
