// Owns: `pine export` and `pine import`: moving a store out of any etcd, and into any etcd or Pine.
import ArgumentParser
import Changelog
import EtcdClient
import Foundation
import GRPC
import Logging
import Moving
import NIOCore
import NIOPosix

struct Export: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write all keys of an etcd or a Pine, at one revision, into a file.",
        discussion: """
              pine export --endpoint http://etcd:2379 store.pine
              pine import --endpoint http://pine:2379 store.pine --verify

            Keys come with their values and leases. Run again with a file that is not complete, the export goes on where it \
            ended, at the same revision.
            """)

    @Option(help: ArgumentHelp("The etcd or Pine to read.", valueName: "url"))
    var endpoint = "http://127.0.0.1:2379"

    @OptionGroup(title: "TLS") var tls: EndpointTLSOptions

    @Argument(help: "The file to write.")
    var file: String

    func run() async throws {
        try await moving {
            let connection = try await connect(endpoint, tls)
            defer { connection.close() }
            var writer = try ExportWriter(path: file)
            var pages = try await EtcdPages(connection, revision: writer.revision, after: writer.lastKey, leases: writer.leases)
            if writer.revision == nil { try writer.begin(revision: pages.revision) }
            var progress = Progress("exported", total: pages.keyCount)
            while let page = try await pages.next() {
                try writer.append(page)
                progress.show(Int(writer.keyCount))
            }
            guard writer.keyCount == pages.keyCount else {
                throw MoveError("the server says that there are \(pages.keyCount) keys, but gave \(writer.keyCount)")
            }
            try writer.finish()
            progress.end("exported \(writer.keyCount) keys at revision \(pages.revision) to \(file)")
        }
    }
}

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
        var progress = Progress("imported", total: nil)
        var (seen, written) = (0, 0)
        while let page = try await source.next() {
            written += try await target.write(page)
            seen += page.keys.count
            progress.show(seen)
        }
        progress.end("imported \(seen) keys; \(seen - written) of them were there already")
    }

    private func compare(_ connection: EtcdClientConnection) async throws {
        var progress = Progress("compared", total: nil)
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

/// Runs `body`, and turns what it throws into one line.
private func moving(_ body: () async throws -> Void) async throws {
    // A peer that closes its end is an error of the write, not a reason to die.
    signal(SIGPIPE, SIG_IGN)
    do {
        try await body()
    } catch let error as MoveError {
        throw UsageError(error.description)
    } catch let status as GRPCStatus {
        throw UsageError("the server says: \(status.message)")
    }
}

private func connect(_ text: String, _ tls: EndpointTLSOptions) async throws -> EtcdClientConnection {
    let endpoint = try tls.endpoint(text)
    let connector = try tls.connector(for: [endpoint])
    do {
        return try await EtcdClientConnection.connect(
            to: endpoint, on: MultiThreadedEventLoopGroup.singleton.next(), userAgent: "pine-move", tls: connector)
    } catch {
        throw UsageError("can't reach \(text): \(error)")
    }
}

private func say(_ line: String) { tell("\(line)\n") }

/// A line now and then on standard error.
private struct Progress {
    private let verb: String
    private let total: Int64?
    private var shownAt = ContinuousClock.now

    init(_ verb: String, total: Int64?) {
        self.verb = verb
        self.total = total
    }

    mutating func show(_ count: Int) {
        guard ContinuousClock.now - shownAt > .seconds(1) else { return }
        shownAt = .now
        say("\(verb) \(count)\(total.map { " of \($0)" } ?? "") keys")
    }

    func end(_ line: String) { say(line) }
}
