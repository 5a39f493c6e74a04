// Owns: what a server is told at its start.
package import Replica
package import TLS

package struct ServerConfiguration: Sendable {
    /// What `ListenURL` takes; port 0 takes a free one.
    package var listenURLs: [String]
    /// For the https and unixs addresses.
    package var tls: TLSSettings?
    /// What clients are told; nil for where the server listens.
    package var advertisedURLs: [String]?
    /// Further addresses, for pages alone: metrics and health.
    package var metricsURLs: [String] = []
    /// Whether etcd's JSON gateway is served beside gRPC.
    package var servesJSON = true
    /// The hosts by which clients without TLS may ask over HTTP, and the sites whose pages may read the answers: etcd's `--host-whitelist`
    /// and `--cors`. Empty, or with a `*`: all.
    package var allowedHosts: [String] = []
    package var allowedOrigins: [String] = []
    package var name = "default"
    /// The largest request in bytes, as etcd counts it: the message and a little for its envelope.
    package var maxRequestBytes = 1_572_864
    package var maxTxnOps = 128
    package var maxConcurrentStreams = 100_000
    /// Event loops; nil for one a core.
    package var eventLoops: Int?
    /// The longest time between two polls of the log.
    package var pollIntervalMs = 1_000

    /// How long a watch that wants progress notifications hears nothing.
    package var watchProgressIntervalMs = 600_000

    package var auth = AuthSettings()
    package var autoCompaction = AutoCompaction.off
    /// What the store may take in the database, in bytes; 0 for no bound.
    package var quotaBackendBytes: Int64 = 0
    /// What values may take in memory, in bytes; a quarter of what there is.
    package var valueCacheBytes = ServerMemory.bytes / 4
    /// A peer that was silent for this long is pinged (0: never), and closed when it doesn't answer in time.
    package var keepAliveIntervalMs = 7_200_000
    package var keepAliveTimeoutMs = 20_000
    /// The least time between two pings of a client's.
    package var keepAliveMinTimeMs = 5_000

    /// How long a request waits for PostgreSQL where its client would wait longer.
    package var requestTimeoutMs = 7_000
    /// Requests, and statements that PostgreSQL is asked, that take as long are logged with where the time went.
    package var slowRequestMs = 300
    package var slowStatementMs = 500

    /// Where this process notes down what it has served; nil for nowhere.
    package var dataDirectory: String?

    package init(listenURLs: [String]) { self.listenURLs = listenURLs }
}

/// Where the log is.
package struct Database: Sendable {
    /// A libpq URL or connection string.
    package var connectionString: String
    /// A file that has it, in its place; read for each connection.
    package var connectionFile: String?
    package var schema: String
    package var allowsUnsafeDurability = false
    /// False behind a pooler that can't be found out.
    package var preparesStatements = true
    /// Whether a server may make and change the tables at its start.
    package var migrates = true

    package init(connectionString: String, schema: String) {
        self.connectionString = connectionString
        self.schema = schema
    }
}

/// Why a server can't start: one line for the user, that says what to do.
package struct ServerError: Error, CustomStringConvertible {
    package let message: String

    package init(_ message: String) { self.message = message }

    package var description: String { message }
}
