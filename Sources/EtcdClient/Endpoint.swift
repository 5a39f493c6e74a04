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

    /// `http://host:port`, `https://host:port`, `unix:///path` or `unixs:///path`; or `host:port`, which speaks TLS where
    /// `isSecureByDefault`. Nil for anything else.
    package init?(_ text: String, isSecureByDefault: Bool = false) {
        self.text = text
        var rest = text[...]
        var scheme: Substring = isSecureByDefault ? "https" : "http"
        if let end = text.range(of: "://") {
            scheme = text[..<end.lowerBound]
            rest = text[end.upperBound...]
        }
        switch scheme {
        case "http", "https":
            isSecure = scheme == "https"
            if rest.hasSuffix("/") { rest.removeLast() }
            guard let colon = rest.lastIndex(of: ":"), let port = Int(rest[rest.index(after: colon)...]), (1...65_535).contains(port)
            else { return nil }
            var host = rest[..<colon]
            if host.hasPrefix("[") && host.hasSuffix("]") { host = host.dropFirst().dropLast() }
            guard !host.isEmpty, !host.contains("/") else { return nil }
            address = .host(String(host), port: port)
            authority = String(rest)
        case "unix", "unixs":
            isSecure = scheme == "unixs"
            guard !rest.isEmpty else { return nil }
            address = .unixSocket(path: String(rest))
            authority = "localhost"
        default: return nil
        }
    }

    /// Whom the server's certificate must be for: the host, or, as etcd's clients have it, the name of the socket's file.
    package var certifiedName: String {
        switch address {
        case .host(let host, _): host
        case .unixSocket(let path): String(path.split(separator: "/").last ?? "")
        }
    }
}
