// Owns: the name of the schema, as SQL takes it.
internal import Bytes

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
