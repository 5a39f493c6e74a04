// Owns: the database before it is served: its address, its tables' version, the rights of who serves.
// Must never: wait for what an operator has to put right first.
package import Changelog
package import Logging

extension Database {
    func logSettings() throws(ServerError) -> LogSettings {
        guard let schema = SchemaName(schema) else {
            throw ServerError("--schema \(self.schema) is not a name that PostgreSQL takes")
        }
        var settings = LogSettings(conninfo: connectionString, schema: schema)
        settings.conninfoFile = connectionFile
        settings.transactionPooling = !preparesStatements
        settings.allowsUnsafeDurability = allowsUnsafeDurability
        return settings
    }

    /// Finds what is wrong with the settings themselves.
    package func check() throws(ServerError) {
        do {
            try logSettings().check()
        } catch let error as ServerError {
            throw error
        } catch {
            throw ServerError("\(error)")
        }
    }

    /// Sees to it that the tables are at this Pine's version. A database that is away is waited for.
    func prepare(_ given: LogSettings, logger: Logger) async throws(ServerError) {
        var settings = given
        var waitMs = 100
        var told: (reason: String, at: ContinuousClock.Instant)?
        while true {
            do {
                let server = try await onThread { [settings] () throws(LogError) in
                    let migrator = Migrator(settings, logger: logger)
                    return migrates ? try migrator.migrate() : try migrator.check()
                }
                if told != nil { logger.notice("PostgreSQL can be used now") }
                if server.isPooled {
                    logger.notice(
                        "a connection pooler is in front of PostgreSQL: statements are sent unprepared, and other members' writes found by polling"
                    )
                }
                return
            } catch {
                // A pooler that hides itself: the log's threads will find out as this has.
                if error.tellsOfPooler, !settings.transactionPooling {
                    settings.transactionPooling = true
                    continue
                }
                guard error.passesByItself, !error.isRejection else { throw ServerError("\(error)") }
                // Once, and now and then again while it lasts.
                let reason = "\(error)"
                if told?.reason != reason || ContinuousClock.now - told!.at > .seconds(60) {
                    told = (reason, .now)
                    logger.warning("PostgreSQL can't be used yet; waiting for it", metadata: ["reason": "\(reason)"])
                }
            }
            do {
                // Not in step with other members that wait for the same server.
                try await Task.sleep(for: .milliseconds(Int.random(in: waitMs / 2...waitMs)))
            } catch {
                throw ServerError("stopped while waiting for PostgreSQL")
            }
            waitMs = min(waitMs * 2, 2_000)
        }
    }

    /// What the database says about the store. A database that can't be used now isn't waited for.
    package func report(logger: Logger) async throws(ServerError) -> DatabaseReport {
        let settings = try logSettings()
        do {
            return try await onThread { () throws(LogError) in
                try DatabaseReport.make(settings, memberAge: .seconds(30), logger: logger)
            }
        } catch {
            throw ServerError("\(error)")
        }
    }

    /// Makes the tables or brings them up to date, once, lets `role` serve from them if one is named, and gives the store its key if that
    /// is asked for.
    package func migrate(grantingTo role: String?, givingKey: Bool, logger: Logger) async throws(ServerError) {
        let settings = try logSettings()
        do {
            try await onThread { () throws(LogError) in
                let migrator = Migrator(settings, logger: logger)
                let found = try migrator.migrate()
                if found.version == Migrator.latestVersion {
                    logger.notice("the tables are up to date", metadata: ["schema": "\(schema)", "version": "\(found.version)"])
                }
                if let role { try migrator.grant(to: role) }
                if givingKey {
                    let isNew = try migrator.giveKey()
                    logger.notice(
                        isNew ? "gave the store its digest key" : "the store has its digest key already",
                        metadata: ["schema": "\(schema)"])
                }
            }
        } catch {
            throw ServerError("\(error)")
        }
    }
}
