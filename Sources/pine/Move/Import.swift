// Owns: `pine import`: moving a store into any etcd or Pine.
import ArgumentParser
import Changelog
import EtcdClient
import Logging
import Moving

struct Import: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write the keys of an export, or of a kine table, into an etcd or a Pine.",
        discussion: """
            From a file that `pine export` made:

              pine import --endpoint http://pine:2379 store.pine --verify

            From kine's table, while nobody writes to it:

              PGPASSFILE=kine.pgpass pine import --endpoint http://pine:2379 --kine postgres://user@host/kine --verify

            Keys that are there already with the same value are left alone, so a broken-off import may be run again. A key that is \
            there with another value ends it, unless --overwrite is given. Leases begin anew with the TTL that they were granted \
            with.
            """)

    @Option(help: ArgumentHelp("The Pine or etcd to write to.", valueName: "url"))
    var endpoint = "http://127.0.0.1:2379"

    @OptionGroup(title: "TLS") var tls: EndpointTLSOptions

    @Option(
        help: ArgumentHelp(
            "Take the keys from a kine table in this database, a libpq URL. Give its password in PGPASSFILE or PGPASSWORD.",
            valueName: "url"))
    var kine: String?

    @Option(help: ArgumentHelp("kine's table.", valueName: "name"))
    var kineTable = "kine"

    @Flag(help: "Replace keys that are there with another value.")
    var overwrite = false

    @Flag(help: "Compare every key afterwards. Differences end the command with status 1.")
    var verify = false

    @Flag(help: "Compare every key, and write nothing.")
    var verifyOnly = false

    @Argument(help: "The file to read.")
    var file: String?

    func validate() throws {
        if (file == nil) == (kine == nil) { throw ValidationError("give either a file or --kine") }
    }

    func run() async throws {
        try await moving {
            if let kine {
                do { try LogSettings(conninfo: kine).check() } catch { throw UsageError("--kine: \(error)") }
            }
            let connection = try await connect(endpoint, tls)
            defer { connection.close() }
            if !verifyOnly { try await write(connection) }
            if verify || verifyOnly { try await compare(connection) }
        }
    }

    private func write(_ connection: EtcdClientConnection) async throws {
        var source = try source()
        var target = EtcdTarget(connection, overwrites: overwrite)
        var progress = MoveProgress("imported", total: nil)
        var (seen, written) = (0, 0)
        while let page = try await source.next() {
            written += try await target.write(page)
            seen += page.keys.count
            progress.show(seen)
        }
        progress.end("imported \(seen) keys; \(seen - written) of them were there already")
    }

    private func compare(_ connection: EtcdClientConnection) async throws {
        var progress = MoveProgress("compared", total: nil)
        let target = EtcdTarget(connection, overwrites: false)
        let result = try await compare(target, with: try source()) { progress.show($0.same) }
        let ended = result.expired > 0 ? ", \(result.expired) gone with their leases" : ""
        if result.isEqual {
            progress.end("compared: \(result.same) keys are the same\(ended)")
            return
        }
        progress.end(
            "compared: \(result.same) keys are the same, \(result.different) different, \(result.missing) missing, "
                + "\(result.extra) only in the target\(ended)")
        for example in result.examples { say("  \(example)") }
        throw ExitCode(1)
    }

    private func compare(
        _ target: EtcdTarget, with source: any PageSource, progress: (EtcdTarget.Comparison) -> Void
    ) async throws -> EtcdTarget.Comparison {
        try await target.compare(with: source, progress: progress)
    }

    private func source() throws -> any PageSource {
        if let kine {
            let logger = Logger(label: "pine") { _ in LineLogHandler(format: .suitable, logLevel: .warning) }
            return KinePages(conninfo: kine, table: kineTable, logger: logger)
        }
        return try ExportReader(path: file ?? "")
    }
}
