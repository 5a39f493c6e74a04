// Owns: the flags that say where the tables are and how they are reached, for every command that does.
import ArgumentParser
import Foundation
import PineServer

struct DatabaseOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The PostgreSQL database (13 or newer) to keep everything in, as a libpq URL or connection string. Arguments show in the "
                + "process list: give a URL with a password in --postgres-file or PINE_POSTGRES, or the password in PGPASSFILE. "
                + "Without a database, `pine serve` starts a private one in --data-dir.", valueName: "url"))
    var postgres: String?

    @Option(
        help: ArgumentHelp(
            "A file that has the URL or connection string in its first line, in the place of --postgres. It is read for each new "
                + "connection, so that changed passwords are picked up.", valueName: "file"))
    var postgresFile: String?

    @Option(help: ArgumentHelp("The schema for Pine's tables. Each schema is a store of its own.", valueName: "name"))
    var schema = "pine"

    @Flag(
        help: ArgumentHelp(
            "Send statements unprepared, and set nothing that outlives a transaction. Only for a connection pooler that Pine does "
                + "not notice; PgBouncer is noticed."))
    var noPreparedStatements = false

    @Flag(help: "Serve even where PostgreSQL may lose acknowledged writes: fsync, full_page_writes or synchronous_commit off.")
    var allowUnsafeDurability = false

    func validate() throws {
        if postgres != nil && postgresFile != nil { throw ValidationError("give either --postgres or --postgres-file, not both") }
    }

    /// The database that the flags name; nil where they name none.
    func database() throws -> Database? {
        if let postgres { return database(at: postgres) }
        guard let postgresFile else { return nil }
        guard let text = try? String(contentsOfFile: postgresFile, encoding: .utf8) else {
            throw UsageError("can't read --postgres-file \(postgresFile): \(String(cString: strerror(errno)))")
        }
        guard text.contains(where: { !$0.isWhitespace }) else { throw UsageError("--postgres-file \(postgresFile) is empty") }
        var database = database(at: "")
        database.connectionFile = postgresFile
        return database
    }

    func database(at connectionString: String) -> Database {
        var database = Database(connectionString: connectionString, schema: schema)
        database.allowsUnsafeDurability = allowUnsafeDurability
        database.preparesStatements = !noPreparedStatements
        return database
    }
}

struct TablesOptions: ParsableArguments {
    @Flag(
        help: ArgumentHelp(
            "Never change the tables: refuse to start where they aren't at this version. For a role that may only read and write "
                + "them; `pine migrate` makes them."))
    var noMigrate = false
}

struct PrivatePostgresOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where the private PostgreSQL keeps its files, and this process what it notes down of what it has served, so that it "
                + "notices after a restart that an older backup was restored.", valueName: "folder"))
    var dataDir = "pine-data"

    @Option(
        help: ArgumentHelp("Where initdb and postgres are, for the private PostgreSQL. Found by itself if not given.", valueName: "folder"))
    var postgresBinDir: String?
}
