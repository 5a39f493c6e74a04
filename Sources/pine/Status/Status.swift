// Owns: `pine status`: one look at a store from outside, as a table for people or as JSON.
import ArgumentParser
import Changelog
import EmbeddedPostgres
import Foundation
import Logging
import PineServer

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show how a store is: members, steward, revisions, compaction, leases, sizes.",
        usage: "pine status [--postgres <url>] [--endpoints <urls>] [--output table|json] ...",
        discussion: """
            From the database, whether Pine runs or not:

              pine status --postgres postgres://user@host/database

            From the private PostgreSQL of a `pine serve` on this machine:

              pine status --data-dir pine-data

            From the members, over the etcd API, as any client sees them:

              pine status --endpoints http://pine-1:2379,http://pine-2:2379
              pine status --endpoints https://pine-1:2379 --cacert ca.crt --cert client.crt --key client.key

            With a database and endpoints, both. The exit status is 0 where all that was asked has answered, otherwise 2.
            """)

    enum Output: String, CaseIterable, ExpressibleByArgument { case table, json }

    @Option(
        help: ArgumentHelp("Members to ask, comma-separated. The default is http://127.0.0.1:2379 without --postgres.", valueName: "urls"))
    var endpoints: AddressList?

    @Option(help: ArgumentHelp("table for people, json for programs.", valueName: "form"))
    var output = Output.table

    @OptionGroup(title: "TLS towards members") var tls: EndpointTLSOptions
    @OptionGroup(title: "Database") var database: DatabaseOptions

    @Option(help: ArgumentHelp("The folder of a private PostgreSQL, for one that runs.", valueName: "folder"))
    var dataDir: String?

    @OptionGroup(title: "Log") var log: LogOptions
    @OptionGroup(title: "Settings") var settings: SettingsOptions

    private func namedDatabase() throws -> Database? {
        if let named = try database.database() { return named }
        guard let dataDir else { return nil }
        do {
            return database.database(at: try EmbeddedPostgres.connectionString(ofRunning: dataDir))
        } catch {
            throw UsageError(error.message)
        }
    }

    func run() async throws {
        var report = StatusReport()
        if let database = try namedDatabase() {
            do {
                report.database = DatabaseStatus(try await database.report(logger: log.makeLogger()), schema: database.schema)
            } catch {
                throw UsageError(error.message)
            }
        }
        if let urls = endpoints?.urls ?? (report.database == nil ? ["http://127.0.0.1:2379"] : nil) {
            report.endpoints = try await MemberStatus.ask(urls, tls)
        }
        switch output {
        case .table: print(report.text, terminator: "")
        case .json: print(try report.json())
        }
        let silent = (report.endpoints ?? []).filter { $0.error != nil }
        if !silent.isEmpty { throw UsageError("no answer from \(silent.map(\.endpoint).joined(separator: ", "))") }
    }
}
