// Owns: a statement's text, and the name under which it is prepared.

/// A statement, known by its text, so that it is prepared once on each connection.
struct Statement: Hashable, Sendable {
    let text: String

    init(_ text: String) { self.text = text }

    /// The same wherever it is prepared, and another for each text (FNV-1a): behind a pooler that hides itself, a name must not stand for
    /// what somebody else has prepared.
    var preparedName: String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return "pine_" + String(hash, radix: 16)
    }
}
