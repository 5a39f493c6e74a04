import TestSupport
import Testing

@testable import Changelog

@Suite(.ownThreads) struct ServerCheckTests {
    @Test("a session's synchronous_commit is on or more, unless less is allowed")
    func synchronousCommit() throws {
        var settings = try freshSettings()
        let server = try PostgresServer.shared()
        let database = try server.psql("select current_database()", connection: settings.conninfo)
        func commits(_ value: String) throws -> String {
            try server.psql("alter database \(database) set synchronous_commit = \(value)", connection: settings.conninfo)
            let session = try LogSession(settings, logger: quiet)
            return try session.connection.run(Statement("select current_setting('synchronous_commit')"), within: .seconds(5)).text(0, 0)
        }
        for value in ["off", "local", "remote_write", "on"] { #expect(try commits(value) == "on") }
        #expect(try commits("remote_apply") == "remote_apply")
        settings.allowsUnsafeDurability = true
        #expect(try commits("off") == "off")
    }

    @Test("a server without fsync or full page writes is refused", arguments: ["fsync", "full_page_writes"])
    func unsafeServer(setting: String) throws {
        let server = try PostgresServer(settings: [setting: "off"])
        var settings = LogSettings(conninfo: server.connectionString)
        do {
            _ = try LogSession(settings, logger: quiet)
            Issue.record("not refused")
        } catch {
            #expect(error == .unsafeDurability(setting: setting, value: "off"))
            #expect(error.description.contains("\(setting)=on"))
            #expect(error.description.contains("--allow-unsafe-durability"))
            #expect(!error.passesByItself)
        }
        settings.allowsUnsafeDurability = true
        _ = try LogSession(settings, logger: quiet)
    }

    @Test("a database where transactions are read-only is not writable now, which passes by itself")
    func readOnly() throws {
        let settings = try freshSettings()
        let server = try PostgresServer.shared()
        let session = try LogSession(settings, logger: quiet)
        let database = try server.psql("select current_database()", connection: settings.conninfo)
        try server.psql("alter database \(database) set default_transaction_read_only = on", connection: settings.conninfo)
        do {
            _ = try LogSession(settings, logger: quiet)
            Issue.record("not refused")
        } catch {
            guard case .notWritable = error else {
                Issue.record("\(error)")
                return
            }
            #expect(error.passesByItself)
        }
        // A session that was there before goes on.
        _ = try session.readHead()
    }

    @Test("nobody there, a wrong database and a wrong connection string each give one line")
    func connectFailures() throws {
        _ = try PostgresServer.shared()
        for (conninfo, part) in [
            ("postgresql://postgres@127.0.0.1:1/x", "Connection refused"),
            ("host=/nowhere-at-all", "No such file"),
        ] {
            do {
                _ = try LogSession(LogSettings(conninfo: conninfo), logger: quiet)
                Issue.record("connected to \(conninfo)")
            } catch {
                guard case .unreachable = error else {
                    Issue.record("\(error)")
                    continue
                }
                #expect(error.description.contains(part))
                #expect(!error.description.contains("\n"))
            }
        }
        do {
            _ = try LogSession(LogSettings(conninfo: "postgresql://x?nonsense=1"), logger: quiet)
            Issue.record("connected")
        } catch {
            guard case .badConnectionString(let reason) = error else {
                Issue.record("\(error)")
                return
            }
            #expect(reason.contains("nonsense"))
            #expect(!error.passesByItself)
        }
    }

    @Test("a server that turns us away is told by its SQLSTATE, the same the second time")
    func rejections() throws {
        let server = try PostgresServer.shared()
        try server.psql("create role crowded login connection limit 0")
        defer { _ = try? server.psql("drop role crowded") }
        for (conninfo, state, isRejection) in [
            (server.connectionString(database: "nowhere"), "3D000", true),
            (server.connectionString(database: "postgres", user: "nobody_at_all"), "28000", true),
            (server.connectionString(database: "postgres", user: "crowded"), "53300", false),
            ("host=127.0.0.1,127.0.0.1 port=\(server.port),\(server.port) user=postgres dbname=nowhere", "3D000", true),
        ] {
            for _ in 0..<2 {
                let error = #expect(throws: LogError.self) { try LogSession(LogSettings(conninfo: conninfo), logger: quiet) }
                guard case .rejected(state, let message)? = error else {
                    Issue.record("\(conninfo): \(String(describing: error))")
                    continue
                }
                #expect(!message.contains("LOCATION") && error?.isRejection == isRejection && error?.passesByItself == true)
                #expect(error?.description.contains("(SQLSTATE \(state))") == true)
            }
        }
        // One of two is not there, and may come back.
        let mixed = "host=127.0.0.1,127.0.0.1 port=1,\(server.port) user=postgres dbname=nowhere"
        let error = #expect(throws: LogError.self) { try LogSession(LogSettings(conninfo: mixed), logger: quiet) }
        guard case .unreachable? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(error?.isRejection == false)
    }

    @Test("what libpq says of a failed attempt is understood in every language")
    func languages() {
        let one = "connection to server at \"db\" (10.0.0.1), port 5432 failed: "
        let german =
            one
            + "FATAL:  28P01: Passwort-Authentifizierung f\u{FC}r Benutzer \u{BB}pine\u{AB} fehlgeschlagen\nORT:  auth_failed, auth.c:335\n"
        let russian = one + "\u{412}\u{410}\u{416}\u{41D}\u{41E}:  57P03: \u{441}\u{438}\u{441}\u{442}\u{435}\u{43C}\u{430}\n"
        #expect(SQLState.ofRejection(by: 1, verbose: german) == "28P01")
        #expect(SQLState.ofRejection(by: 1, verbose: russian) == "57P03")
        #expect(SQLState.ofRejection(by: 2, verbose: german + russian) == "57P03")
        #expect(SQLState.ofRejection(by: 2, verbose: german + one + "Connection refused\n\tIs the server running?\n") == nil)
        #expect(SQLState.ofRejection(by: 1, verbose: one + "server closed the connection unexpectedly\n") == nil)
    }

    @Test("the session is set up, unless a pooler would hand it on")
    func sessionSettings() throws {
        var settings = try freshSettings()
        let server = try PostgresServer.shared()
        let database = try server.psql("select current_database()", connection: settings.conninfo)
        try server.psql("alter database \(database) set statement_timeout = '7s'", connection: settings.conninfo)
        func timeout() throws -> String {
            let session = try LogSession(settings, logger: quiet)
            return try session.connection.run(
                Statement("select current_setting('statement_timeout') || current_setting('application_name')"),
                within: .seconds(5)
            ).text(0, 0)
        }
        #expect(try timeout() == "0pine")
        settings.transactionPooling = true
        #expect(try timeout() == "7spine")
        settings.conninfo += "?application_name=mine"
        #expect(try timeout() == "7smine")
    }
}
