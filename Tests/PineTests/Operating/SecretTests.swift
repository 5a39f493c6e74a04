// Owns: passwords: wherever an operator gives one, well or badly written, it shows nowhere.
import Foundation
import TestSupport
import Testing

@Suite("Passwords show nowhere", .ownThreads)
struct SecretTests {
    /// URLs with a mistake; SECRET is the password, or a part of it.
    private static let wrong = [
        "mysql://pine:SECRET@tcp(127.0.0.1:3306)/pine", "postgresql+psycopg2://pine:SECRET@127.0.0.1/pine",
        "postgres+ssl://pine:SECRET@127.0.0.1/pine", "postgres://pine:SECRET%@127.0.0.1/pine", "postgres://pine:aa/SECRET@127.0.0.1/pine",
        "postgres://pine:x@SECRET@127.0.0.1/pine", "host=127.0.0.1 user=pine password=SECRET'x dbname",
    ]

    /// URLs that can be used, where nobody answers.
    private static let unanswered = [
        "Postgres://pine:SECRET@127.0.0.1:1/pine", " postgres://pine:SECRET@127.0.0.1:1/pine",
        "\"postgres://pine:SECRET@127.0.0.1:1/pine\"",
        "postgres://pine:SECRET@127.0.0.1:1/pine",
    ]

    /// The commands that take a database, with what else they need.
    private static let commands = [["serve"], ["status"], ["migrate"], ["restore"], ["import", "--endpoint", "http://127.0.0.1:1"]]

    private func run(_ arguments: [String], environment: [String: String] = [:]) throws -> String {
        let result = try PineProcess.run(arguments, environment: environment)
        #expect(result.exit == .exited(2), "\(arguments): \(result)")
        #expect(!(result.stdout + result.stderr).contains("SECRET"), "\(arguments): \(result)")
        #expect(result.stderr.split(separator: "\n").count == 1, "\(arguments): \(result)")
        return result.stderr
    }

    private func flag(_ command: [String]) -> String { command[0] == "import" ? "--kine" : "--postgres" }

    @Test("a URL with a mistake ends every command with status 2 and one line that says what is wrong", arguments: wrong)
    func mistakes(url: String) throws {
        for command in Self.commands {
            let said = try run(command + [flag(command), url])
            #expect(said.contains("the connection string for PostgreSQL is wrong"), "\(said)")
        }
    }

    @Test("so do a variable, a file, and a URL that stands where none belongs")
    func otherPlaces() throws {
        let folder = try TemporaryFolder()
        for url in Self.wrong {
            try Data("\(url)\n".utf8).write(to: URL(fileURLWithPath: folder.file("url")))
            #expect(try run(["serve"], environment: ["PINE_POSTGRES": url]).contains("the connection string for PostgreSQL is wrong"))
            let said = try run(["serve", "--data-dir", folder.file("data"), "--log-level", "error", "--postgres-file", folder.file("url")])
            #expect(said.contains("the connection string for PostgreSQL is wrong"), "\(said)")
        }
        for arguments in [["serve"], ["serve", "--postgress"], ["serve", "--max-txn-ops"]] { _ = try run(arguments + [Self.wrong[4]]) }
    }

    @Test("a database that is away does not bring the password into answers of commands", arguments: unanswered)
    func away(url: String) throws {
        for command in Self.commands where command != ["serve"] { _ = try run(command + [flag(command), url]) }
    }

    @Test("a server that waits for its database shows it neither in the process list, nor in its log, nor on its pages")
    func waiting() throws {
        for url in Self.unanswered {
            let pine = try PineProcess(["--postgres", url])
            try eventuallyBlocking("a word about the database") { pine.log.contains("PostgreSQL can't be used yet") }
            let arguments = contents(of: "/proc/\(pine.processIdentifier)/cmdline").split(separator: "\0").map(String.init)
            #expect(arguments.contains { $0.lowercased().contains("postgres://pine:***@127.0.0.1:1/pine") }, "\(arguments)")
            #expect(arguments.contains("--listen-client-urls"), "\(arguments)")
            for path in ["/health", "/readyz", "/readyz?verbose", "/livez?verbose", "/metrics"] {
                let page = try HTTPClient.get(path, port: pine.port)
                #expect(!page.body.contains("SECRET"), "\(path): \(page)")
            }
            #expect(pine.log.components(separatedBy: "process list").count == 2, "\(pine.log)")
            for text in arguments + [pine.log] { #expect(!text.contains("SECRET"), "\(text)") }
        }
    }
}
