// Owns: where the log is and how it is to be reached.
internal import Bytes
internal import Glibc
internal import Replica

/// How to reach the log. Plain values, given once at the start.
package struct LogSettings: Sendable {
    /// A libpq connection string or URI. All that libpq understands works: several hosts, service files, password files,
    /// sslmode, environment variables. It is read anew for each connection, so that changed credentials are picked up.
    package var conninfo: String
    /// A file that has the connection string, in the place of `conninfo`: read anew for each connection too.
    package var conninfoFile: String?
    package var schema: SchemaName
    /// True behind a pooler that gives each transaction another server connection (PgBouncer in transaction mode):
    /// then nothing may outlive a transaction, so no prepared statements, no session settings and no LISTEN.
    /// A session finds out by itself that a pooler is there; this is for one that hides.
    package var transactionPooling = false
    /// Whether to LISTEN for hints where the server has that. Polling alone is enough; hints make it quicker.
    package var listensForHints = true
    /// Whether to hint to the other processes after own appends from the start on. `LogWorkers.notePeers` and what is heard of
    /// others change it: it is of no use to a process that is alone.
    package var notifiesPeers = false
    /// Serve although the server's settings allow acknowledged commits to vanish.
    package var allowsUnsafeDurability = false
    package var limits = LogLimits()

    package init(conninfo: String, schema: SchemaName = .pine) {
        self.conninfo = conninfo
        self.schema = schema
    }

    /// Throws where no connection can ever be made from these settings.
    package func check() throws(LogError) {
        if conninfoFile == nil { try ConnectAttempt.check(conninfo: conninfo) }
    }

    /// The connection string for the next connection. A file that can't be read may be in the middle of being replaced.
    func currentConninfo() throws(LogError) -> String {
        guard let conninfoFile else { return conninfo }
        guard let file = fopen(conninfoFile, "re") else {
            throw LogError.unreachable("can't read the connection string from \(conninfoFile): \(String(cString: strerror(errno)))")
        }
        defer { fclose(file) }
        // A longer one is none that a person wrote.
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        let count = fread(&buffer, 1, buffer.count, file)
        let text = String(decoding: buffer[..<count], as: UTF8.self)
        guard let line = text.split(whereSeparator: \.isNewline).first(where: { !$0.allSatisfy(\.isWhitespace) }) else {
            throw LogError.unreachable("\(conninfoFile) is empty; it should have the connection string")
        }
        return String(line)
    }
}
