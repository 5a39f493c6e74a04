// Owns: reading a connection string before libpq does, by libpq's rules (fe-connect.c: conninfo_parse, conninfo_uri_parse_options).
// Must never: put a part of a value into an error. libpq quotes what it can't read, and a mistake in a password makes pieces of it look
// like hosts, ports, databases and parameters.
// Invariant: the passwords in `text` are known to `Secrets` before libpq sees it.
internal import CLibPQ
internal import Glibc

struct ConnectionString: Sendable {
    /// What libpq is given.
    let text: String

    /// White space and a pair of quotes around it are taken off, and the scheme may be in capitals. Throws `badConnectionString`.
    init(_ given: String) throws(LogError) {
        let bare = Self.unquoted(given)
        guard !bare.utf8.contains(0) else { throw Self.wrong("it has a zero byte in it") }
        let reading: Reading
        if let scheme = Self.scheme(of: bare) {
            let name = scheme.lowercased()
            guard name == "postgres" || name == "postgresql" else {
                let shown = scheme.utf8.count <= Self.shownLimit ? "\(scheme):// is" : "this is"
                throw Self.wrong("\(shown) not a scheme of PostgreSQL; a URL begins with postgres://")
            }
            text = name + bare.dropFirst(scheme.count)
            reading = try Self.readURL(Array(bare.utf8)[(scheme.utf8.count + "://".utf8.count)...])
        } else {
            text = bare
            reading = try Self.readKeywords(Array(bare.utf8)[...])
        }
        Secrets.note(reading.secrets, beside: reading.names)
    }

    private struct Reading {
        var secrets: [String] = []
        /// Values that libpq's texts name for good reason: users, hosts, databases.
        var names: [String] = []
    }

    /// What is longer than this is no name that an operator mistyped.
    private static let shownLimit = 40

    private static func wrong(_ reason: String) -> LogError { .badConnectionString(reason) }

    /// Without white space around it, and without one pair of quotes.
    private static func unquoted(_ given: String) -> String {
        func trimmed(_ text: Substring) -> Substring {
            var text = text
            while text.first?.isWhitespace == true { text.removeFirst() }
            while text.last?.isWhitespace == true { text.removeLast() }
            return text
        }
        let text = trimmed(given[...])
        guard text.count >= 2, let quote = text.first, quote == "\"" || quote == "'" || quote == "`", text.last == quote else {
            return String(text)
        }
        return String(trimmed(text.dropFirst().dropLast()))
    }

    /// What stands before `://`, nil where that is none (RFC 3986, section 3.1), or a keyword's value. JDBC's is written with a colon.
    private static func scheme(of text: String) -> String? {
        guard let end = text.firstRange(of: "://") else { return nil }
        let scheme = text[..<end.lowerBound]
        let name = scheme.lowercased().hasPrefix("jdbc:") ? scheme.dropFirst("jdbc:".count) : scheme
        guard let first = name.utf8.first, isLetter(first), name.utf8.allSatisfy({ isLetter($0) || isDigit($0) || "+-.".utf8.contains($0) })
        else { return nil }
        return String(scheme)
    }

    // MARK: libpq's parameters

    /// libpq's parameters, with whether a value is a secret.
    private static let parameters: [String: Bool] = {
        var known: [String: Bool] = [:]
        guard let options = PQconninfoParse("", nil) else { return known }
        var option = options
        while let keyword = option.pointee.keyword {
            // As libpq marks what a dialog must not show ("*").
            known[String(cString: keyword)] = option.pointee.dispchar.map { String(cString: $0) == "*" } ?? false
            option += 1
        }
        PQconninfoFree(options)
        return known
    }()

    private static let names: Set = ["user", "host", "hostaddr", "dbname"]

    /// Takes in a parameter; `raw` is its value as it was written.
    private static func take(_ keyword: String, _ value: [UInt8], raw: ArraySlice<UInt8>, _ reading: inout Reading) throws(LogError) {
        let text = String(decoding: value, as: UTF8.self)
        if parameters[keyword] == true { reading.secrets += [text, String(decoding: raw, as: UTF8.self)] }
        if names.contains(keyword) { reading.names.append(text) }
        if keyword == "port" { try checkPorts(value[...], split: true) }
    }

    private static func checkPorts(_ text: ArraySlice<UInt8>, split: Bool) throws(LogError) {
        for port in split ? text.split(separator: comma, omittingEmptySubsequences: false) : [text] where !port.isEmpty {
            // libpq lets blanks stand around it.
            let number = Int(String(decoding: port, as: UTF8.self).filter { !$0.isWhitespace })
            guard let number, (1...65_535).contains(number) else {
                throw wrong(
                    "the port is not a number from 1 to 65535; where a password was meant to stand there, an @ must be behind it: "
                        + "postgres://user:password@host/database")
            }
        }
    }

    /// Names a parameter that libpq does not have. `isSafe` says that it can't be a piece of a password.
    private static func unknown(_ keyword: String, isSafe: Bool, otherwise reason: String) -> LogError {
        let isPlain = keyword.utf8.allSatisfy { isLetter($0) || $0 == UInt8(ascii: "_") }
        guard isSafe, isPlain, !keyword.isEmpty, keyword.utf8.count <= shownLimit else { return wrong(reason) }
        return wrong("invalid connection option \"\(keyword)\"")
    }

    // MARK: keyword=value

    private static let badKeywords =
        "it is neither a URL (postgres://user@host/database) nor a list of keyword=value pairs; a value with spaces or quotes in it must "
        + "be in single quotes (password='...'), with ' and \\ in it written as \\' and \\\\"

    private static func readKeywords(_ text: ArraySlice<UInt8>) throws(LogError) -> Reading {
        var reading = Reading()
        var rest = text
        func skipBlanks() { rest = rest.drop(while: isBlank) }
        while true {
            skipBlanks()
            if rest.isEmpty { return reading }
            let keyword = String(decoding: rest.prefix { $0 != equals && !isBlank($0) }, as: UTF8.self)
            rest = rest.drop { $0 != equals && !isBlank($0) }
            skipBlanks()
            guard rest.popFirst() == equals else { throw wrong(badKeywords) }
            skipBlanks()
            let start = rest
            let value = try takeValue(&rest)
            guard parameters[keyword] != nil else {
                throw unknown(keyword, isSafe: reading.secrets.isEmpty, otherwise: badKeywords)
            }
            try take(keyword, value, raw: start[..<rest.startIndex], &reading)
            // A URL in the place of a name: its password would be shown as a part of the name.
            if keyword == "dbname", value.contains(colon), value.contains(at) {
                throw wrong("dbname must be the name of a database; a URL stands alone")
            }
            // A folder may have an @ in its name, and an abstract socket begins with one.
            if keyword == "host", value.split(separator: comma).contains(where: { $0.first != slash && $0.dropFirst().contains(at) }) {
                throw wrong("host must be the name of a host, without an @, or a folder")
            }
        }
    }

    /// A value without its quotes and escapes.
    private static func takeValue(_ rest: inout ArraySlice<UInt8>) throws(LogError) -> [UInt8] {
        let isQuoted = rest.first == quote
        if isQuoted { rest = rest.dropFirst() }
        var value: [UInt8] = []
        while let byte = rest.first {
            if isQuoted ? byte == quote : isBlank(byte) { break }
            rest = rest.dropFirst()
            if byte != backslash {
                value.append(byte)
            } else if let escaped = rest.popFirst() {
                value.append(escaped)
            }
        }
        if isQuoted, rest.popFirst() != quote { throw wrong(badKeywords) }
        return value
    }

    // MARK: URLs

    private static let badURL =
        "the password, or another part of the URL, has characters that must be percent-encoded there: @ as %40, / as %2F, % as %25, "
        + "? as %3F, # as %23, & as %26, a space as %20"

    /// Reads what is behind `://`.
    private static func readURL(_ text: ArraySlice<UInt8>) throws(LogError) -> Reading {
        var reading = Reading()
        var rest = text
        // The user and the password end at the first @, which has to stand before the first /.
        if let end = text.prefix(while: { $0 != slash }).firstIndex(of: at) {
            let user = text[..<end].prefix { $0 != colon }
            try take("user", decoded(user), raw: user, &reading)
            if user.endIndex < end {
                let password = text[(user.endIndex + 1)..<end]
                try take("password", decoded(password), raw: password, &reading)
            }
            rest = text[(end + 1)...]
        }
        let hosts = rest.prefix { $0 != slash && $0 != question }
        let afterHosts = rest[hosts.endIndex...]
        let path = afterHosts.first == slash ? afterHosts.dropFirst().prefix { $0 != question } : afterHosts.prefix(0)
        // There is no raw @ in them, so this is the end of a password that began further left.
        guard !hosts.contains(at), !path.contains(at) else { throw wrong(badURL) }
        try readHosts(hosts, &reading)
        try take("dbname", decoded(path), raw: path, &reading)
        try readQuery(afterHosts[path.endIndex...].dropFirst(), &reading)
        return reading
    }

    private static func readHosts(_ hosts: ArraySlice<UInt8>, _ reading: inout Reading) throws(LogError) {
        for place in hosts.split(separator: comma, omittingEmptySubsequences: false) {
            var host = place.prefix { $0 != colon }
            if place.first == UInt8(ascii: "[") {
                guard let end = place.firstIndex(of: UInt8(ascii: "]")), end + 1 == place.endIndex || place[end + 1] == colon else {
                    throw wrong("an IPv6 address in a URL must be in brackets, with nothing but :port behind them")
                }
                host = place[...end]
            }
            try take("host", decoded(host), raw: host, &reading)
            try checkPorts(decoded(place[host.endIndex...].dropFirst())[...], split: false)
        }
    }

    private static func readQuery(_ query: ArraySlice<UInt8>, _ reading: inout Reading) throws(LogError) {
        var parts = query.split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: false)
        if parts.last?.isEmpty == true { parts.removeLast() }
        for part in parts {
            let sides = part.split(separator: equals, omittingEmptySubsequences: false)
            guard sides.count == 2 else {
                throw wrong(
                    "behind the ? of a URL there must be parameter=value pairs with & between them, where = & and % in a value are "
                        + "percent-encoded: %3D, %26, %25")
            }
            let keyword = String(decoding: try decoded(sides[0]), as: UTF8.self)
            let value = try decoded(sides[1])
            // libpq takes JDBC's spelling of sslmode=require too.
            guard parameters[keyword] != nil || keyword == "ssl" else {
                throw unknown(keyword, isSafe: !query.contains(at), otherwise: badURL)
            }
            try take(keyword, value, raw: sides[1], &reading)
        }
    }

    /// Without percent-encoding.
    private static func decoded(_ text: ArraySlice<UInt8>) throws(LogError) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = text
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, digits.allSatisfy(isHexDigit), let decoded = UInt8(String(decoding: digits, as: UTF8.self), radix: 16),
                decoded != 0
            else { throw wrong(badURL) }
            bytes.append(decoded)
            rest = rest.dropFirst(2)
        }
        return bytes
    }

    // MARK: Bytes

    private static let at = UInt8(ascii: "@")
    private static let slash = UInt8(ascii: "/")
    private static let question = UInt8(ascii: "?")
    private static let colon = UInt8(ascii: ":")
    private static let comma = UInt8(ascii: ",")
    private static let equals = UInt8(ascii: "=")
    private static let quote = UInt8(ascii: "'")
    private static let backslash = UInt8(ascii: "\\")

    /// As C's isspace.
    private static func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || (9...13).contains(byte) }
    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
    private static func isLetter(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) }
    private static func isHexDigit(_ byte: UInt8) -> Bool {
        isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte | 0x20)
    }
}
