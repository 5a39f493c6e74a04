// Owns: a server's address as a client is given it.
internal import Foundation

/// Where a server listens, and how one speaks to it.
package struct Endpoint: Sendable, Hashable {
    package enum Address: Sendable, Hashable {
        case host(String, port: Int)
        case unixSocket(path: String)
    }

    package let address: Address
    /// What `:authority` says.
    package let authority: String
    /// As it was given.
    package let text: String
    /// Whether TLS is spoken there.
    package let isSecure: Bool

    /// `http://host:port`, `host:port`, or `unix:///path`; also `https://host:port` where `allowsTLS`. Nil for anything else.
    package init?(_ text: String, allowsTLS: Bool = false) {
        self.text = text
        isSecure = text.hasPrefix("https://")
        if isSecure && !allowsTLS { return nil }
        var rest = text[...]
        if let scheme = text.range(of: "://") {
            rest = text[scheme.upperBound...]
            switch text[..<scheme.lowerBound] {
            case "http", "https": break
            case "unix":
                guard !rest.isEmpty else { return nil }
                address = .unixSocket(path: String(rest))
                authority = "localhost"
                return
            default: return nil
            }
        }
        if rest.hasSuffix("/") { rest.removeLast() }
        guard let colon = rest.lastIndex(of: ":"), let port = Int(rest[rest.index(after: colon)...]), (1...65_535).contains(port)
        else { return nil }
        var host = rest[..<colon]
        if host.hasPrefix("[") && host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty, !host.contains("/") else { return nil }
        address = .host(String(host), port: port)
        authority = String(rest)
    }
}
