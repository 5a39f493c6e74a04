// Owns: the passwords that this process was given, so that no text that others write shows one: libpq's, the server's, a parser's.
// Must never: give one away; grow without bound while a file with changing passwords is read again and again.
internal import Glibc
internal import Synchronization

package enum Secrets {
    /// Newest last.
    private static let known = Mutex<[String]>([])
    private static let knownLimit = 64
    /// Shorter ones are no secrets, and are found in every text.
    private static let leastBytes = 3
    private static let mask = "***"

    /// Remembers passwords; not those that are a name in the same connection string, which errors have to tell, or that have the very word
    /// for a value.
    static func note(_ passwords: [String], beside names: [String]) {
        let environment = getenv("PGPASSWORD").map { [String(cString: $0)] } ?? []
        known.withLock { known in
            for password in passwords + environment where password.utf8.count >= leastBytes {
                guard password != "password", !names.contains(password), !known.contains(password) else { continue }
                known.append(password)
                if known.count > knownLimit { known.removeFirst() }
            }
        }
    }

    /// `text` with *** in the place of each password that is known.
    static func hidden(in text: String) -> String {
        // Longer ones first: one may be a part of another.
        let passwords = known.withLock { $0 }.sorted { $0.utf8.count > $1.utf8.count }
        return passwords.reduce(text) { $0.contains($1) ? $0.replacing($1, with: mask) : $0 }
    }

    // MARK: Texts that nobody has read yet

    /// `text`, which may be or quote a connection string, well-formed or not, with *** in the place of what may be a password. Never longer
    /// than `text`, in bytes.
    package static func masked(_ text: String) -> String {
        var bytes = Array(text.utf8)
        var isURL = false
        if let scheme = firstIndex(of: "://", in: bytes[...]) {
            isURL = true
            maskUserInfo(&bytes, after: scheme + "://".utf8.count)
        }
        for word in ["password", "secret"] { maskValues(&bytes, of: word, inURL: isURL) }
        let masked = String(decoding: bytes, as: UTF8.self)
        return masked == text ? text : masked
    }

    /// Masks from the first colon to the last @, since a password may have both in it; without an @, what stands in a port's place.
    private static func maskUserInfo(_ bytes: inout [UInt8], after start: Int) {
        if let end = bytes[start...].lastIndex(of: UInt8(ascii: "@")) {
            guard let colon = bytes[start..<end].firstIndex(of: UInt8(ascii: ":")) else { return }
            replace(&bytes, (colon + 1)..<end)
        } else if let colon = bytes[start...].firstIndex(of: UInt8(ascii: ":")) {
            let port = bytes[(colon + 1)...].prefix { !"/?, '\"`;".utf8.contains($0) }
            let isNumber = port.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            let isPostgres = String(decoding: bytes[..<start], as: UTF8.self).lowercased().contains("postgres")
            if isPostgres, !isNumber { replace(&bytes, (colon + 1)..<bytes.count) }
        }
    }

    /// Masks the values of parameters whose names end in `word`.
    private static func maskValues(_ bytes: inout [UInt8], of word: String, inURL: Bool) {
        var from = 0
        while let found = firstIndex(of: word, in: bytes[from...], ignoringCase: true) {
            from = found + word.utf8.count
            var start = from
            while start < bytes.count, isBlank(bytes[start]) { start += 1 }
            guard start < bytes.count, bytes[start] == UInt8(ascii: "=") else { continue }
            start += 1
            while start < bytes.count, isBlank(bytes[start]) { start += 1 }
            let end = inURL ? (bytes[start...].firstIndex(of: UInt8(ascii: "&")) ?? bytes.count) : endOfValue(bytes, start)
            from = replace(&bytes, start..<end)
        }
    }

    /// Where a keyword's value ends: at its closing quote, or where the next keyword begins.
    private static func endOfValue(_ bytes: [UInt8], _ start: Int) -> Int {
        let quote = UInt8(ascii: "'")
        if start < bytes.count, bytes[start] == quote {
            var at = start + 1
            while at < bytes.count, bytes[at] != quote { at += bytes[at] == UInt8(ascii: "\\") ? 2 : 1 }
            return min(at + 1, bytes.count)
        }
        var at = start
        while at < bytes.count {
            guard isBlank(bytes[at]) else {
                at += 1
                continue
            }
            let word = bytes[at...].drop(while: isBlank)
            let rest = word.drop { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) || $0 == UInt8(ascii: "_") }
            if rest.startIndex > word.startIndex, rest.first == UInt8(ascii: "=") { return at }
            at += 1
        }
        return bytes.count
    }

    /// Puts the mask into the place of the bytes, and gives where it ends.
    @discardableResult
    private static func replace(_ bytes: inout [UInt8], _ range: Range<Int>) -> Int {
        let stars = mask.utf8.prefix(range.count)
        bytes.replaceSubrange(range, with: stars)
        return range.lowerBound + stars.count
    }

    private static func firstIndex(of word: String, in bytes: ArraySlice<UInt8>, ignoringCase: Bool = false) -> Int? {
        let wanted = Array(word.utf8)
        guard bytes.count >= wanted.count else { return nil }
        return (bytes.startIndex...(bytes.endIndex - wanted.count)).first { start in
            wanted.indices.allSatisfy { (ignoringCase ? bytes[start + $0] | 0x20 : bytes[start + $0]) == wanted[$0] }
        }
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || (9...13).contains(byte) }
}
