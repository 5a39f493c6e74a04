// Owns: `pine migrate`: making the tables, or bringing them up to date, apart from serving.
import ArgumentParser
import PineServer

struct Migrate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make Pine's tables in a database, or bring them up to date.",
        usage: "pine migrate --postgres <url> [--grant-to <role>] [--schema <name>] ...",
        discussion: """
            `pine serve` does this by itself. Do it apart where the role that serves may not change tables: as the owner,

              pine migrate --postgres postgres://owner@host/database --grant-to pine_server

            and then, as a role that may read and write the tables and nothing else,

              pine serve --no-migrate --postgres postgres://pine_server@host/database

            The owner needs the right to create a schema in the database, or owns the schema already. Nothing is done where the \
            tables are up to date, so it does no harm to run this before every start. It waits for nothing: a database that \
            can't be reached ends it with status 2.
            """)

    @OptionGroup(title: "Database") var database: DatabaseOptions

    @Option(
        help: ArgumentHelp(
            "Let this role serve: it gets the right to use the schema, and to read and write its tables.", valueName: "role"))
    var grantTo: String?

    @Flag(
        help: ArgumentHelp(
            "Give a store from before Pine had them its secret digest key, once. Older Pines that still run stop serving.",
            discussion: "New stores have one from the start. See \"The digest's key\" in docs/operating.md."))
    var keyDigest = false

    @OptionGroup(title: "Log") var log: LogOptions
    @OptionGroup(title: "Settings") var settings: SettingsOptions

    func run() async throws {
        guard let database = try database.database() else {
            throw UsageError("which database? Give --postgres or --postgres-file. (A private PostgreSQL is migrated by `pine serve`.)")
        }
        do {
            try await database.migrate(grantingTo: grantTo, givingKey: keyDigest, logger: log.makeLogger())
        } catch {
            throw UsageError(error.message)
        }
    }
}
