// Owns: which rights a role needs to serve, and granting them.
// Must never: grant a right to change the tables themselves, or to note down a version of the schema.
internal import Logging

extension Migrator {
    /// The tables of the log and what is done with their rows. The rest of the schema is only read.
    private static let rights = [
        ("head", "select, update"), ("changelog", "select, insert, delete"), ("member", "select, insert, update, delete"),
        ("duty", "select, insert, update, delete"), ("lease_deadline", "select, insert, update, delete"),
        ("sweep", "select, update"), ("schema_version", "select"), ("current_keys", "select"), ("history", "select"),
    ]

    /// What lets `role` run `pine serve --no-migrate` on this schema.
    package static func grants(to role: String, in schema: SchemaName) -> [String] {
        let role = "\"" + role.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
        return ["grant usage on schema \(schema.quoted) to \(role)"]
            + rights.map { "grant \($0.1) on \(schema.quoted).\($0.0) to \(role)" }
    }

    /// Grants it, all or nothing. The tables have to be there.
    package func grant(to role: String) throws(LogError) {
        let session = try LogSession(settings, logger: logger)
        let script = Self.grants(to: role, in: settings.schema).joined(separator: ";\n")
        try session.connection.runScript(script, within: settings.limits.recoverLimit)
        logger.notice("granted the right to serve", metadata: ["role": "\(role)", "schema": "\(settings.schema.text)"])
    }
}
