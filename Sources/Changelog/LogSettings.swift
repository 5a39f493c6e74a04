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

/// The bounds on what the log does, in time and in size.
package struct LogLimits: Sendable {
    /// How long a connection attempt may take for each host; what the connection string or PGCONNECT_TIMEOUT says wins.
    package var connectLimit: Duration = .seconds(5)
    /// How long after an attempt to connect that has not ended the next is begun beside it.
    package var connectInterval: Duration = .seconds(1)
    /// How long nothing may leave and nothing may come while the server has something to answer, before its connection counts as lost.
    /// What is in flight has the time beyond that which it takes at the rate that was measured. Each time that it was too short for
    /// the server it doubles, up to `recoverLimit`, so that a slow one is reached in the end.
    package var patience: Duration = .milliseconds(1_500)
    /// The same of an append, whatever the patience; and how long one is waited for behind others on the same connection.
    package var appendLimit: Duration = .seconds(10)
    /// The same for a read.
    package var readLimit: Duration = .seconds(10)
    /// The same for raising the epoch, which waits for a still-running append.
    package var recoverLimit: Duration = .seconds(30)
    /// How long a statement waits for another process's lock on the head row until the server says so: less than the patience, so that
    /// waiting is not taken for silence.
    package var lockWaitLimit: Duration = .seconds(1)
    /// How long the head row may stay locked for us while we prepare a small append, before the lock is given up. The server gives it
    /// up where it hears nothing of us for twice as long.
    package var lockHoldLimit: Duration = .milliseconds(500)
    /// How much longer it may take so that so many bytes of others' rows can be read meanwhile, at the rate that was measured.
    package var lockHoldReadBytes = 512 << 10
    package var lockHoldReadLimit: Duration = .seconds(4)
    /// How much longer for each row that leases leave behind which expire under the lock.
    package var lockHoldPerRow: Duration = .microseconds(100)
    /// The same for each MiB of their keys.
    package var lockHoldPerMiB: Duration = .milliseconds(50)

    /// How much longer the lock may be held so that an expiry's rows can be made.
    func lockHold(for expiring: LeaseExpiry?) -> Duration {
        guard let expiring else { return .zero }
        return lockHoldPerRow * expiring.rowCount + lockHoldPerMiB * (expiring.byteCount >> 20)
    }

    /// An append with more bytes or rows is cut into pieces of one transaction: PostgreSQL takes 1 GiB in a message, and a statement of
    /// that many rows runs for about 100 ms.
    package var statementByteLimit = 16 << 20
    package var statementRowLimit = 10_000
    /// Bytes of such a piece, and of those of an append under the head's lock; one row may be larger. Small, so that others need not
    /// wait long where the process stalls that holds the lock, and every piece's answer shows that there is progress.
    package var pieceByteLimit = 256 << 10
    /// Statements that take as long are logged.
    package var slowStatement: Duration = .milliseconds(500)
    /// How many bytes of keys and values a chunk of the log may hold; one row more is let in, so that there is progress.
    package var chunkByteLimit = 8 << 20
    /// How many rows a chunk holds at most while the whole log is loaded.
    package var loadRowLimit = 10_000
    /// How often a statement is tried in all when the server undoes it because of concurrent ones (40001, 40P01).
    package var retryLimit = 8
    /// Hints to other processes are at least this far apart.
    package var notifyInterval: Duration = .milliseconds(5)

    package init() {}
}

/// The PostgreSQL schema that holds the tables; many logs can share a database, each in a schema of its own.
package struct SchemaName: Hashable, Sendable {
    package let text: String

    /// Nil where PostgreSQL could not hold the name: empty, longer than 63 bytes, with a zero byte, or starting with `pg_`.
    package init?(_ text: String) {
        guard !text.isEmpty, text.utf8.count <= 63, !text.utf8.contains(0), !text.hasPrefix("pg_") else { return nil }
        self.text = text
    }

    private init(known: String) { text = known }

    package static let pine = SchemaName(known: "pine")

    /// As an SQL identifier, in double quotes.
    var quoted: String { Quoted.sqlIdentifier(text) }

    /// The channel of this log's hints. A channel's name is at most 63 bytes long, as every identifier is; a schema whose
    /// name leaves no room for the prefix is told apart by a hash (FNV-1a) instead.
    var channel: String {
        let plain = "pine_" + text
        guard plain.utf8.count > 63 else { return plain }
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return "pine_" + String(hash, radix: 16)
    }

    /// The channel as an SQL identifier, in double quotes.
    var quotedChannel: String { Quoted.sqlIdentifier(channel) }
}
