// Owns: a Pine process as the log's table of members has it.

/// A Pine process that works on this log.
package struct Member: Hashable, Sendable {
    package var id: Int64
    package var name: String
    package var clientURLs: [String]
    /// How long ago it last said so, by the server's clock.
    package var age: Duration

    package init(id: Int64, name: String, clientURLs: [String], age: Duration) {
        self.id = id
        self.name = name
        self.clientURLs = clientURLs
        self.age = age
    }
}
