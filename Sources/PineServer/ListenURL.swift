// Owns: reading and writing the URLs of `--listen-client-urls`.
internal import Foundation
package import HTTP2
package import NIOCore

/// An address to listen on, and whether TLS is spoken there: `http`, `https`, `unix` or `unixs`, as etcd names them.
package struct ListenURL: Sendable, Hashable {
    package var address: ListenAddress
    package var isSecure: Bool

    /// `http://host:port`, `https://[::1]:port`, `unix:///path` or `unixs:///path`.
    package init(_ url: String) throws(ServerError) {
        for (scheme, isSecure) in [("unix://", false), ("unixs://", true)] where url.hasPrefix(scheme) {
            let path = String(url.dropFirst(scheme.count))
            guard path.hasPrefix("/") else { throw ServerError("\(url) must name an absolute path, as \(scheme)/run/pine.sock") }
            address = .unix(path: path)
            self.isSecure = isSecure
            return
        }
        guard let parts = URLComponents(string: url), parts.scheme == "http" || parts.scheme == "https", var host = parts.host,
            !host.isEmpty, let port = parts.port, (0...65_535).contains(port), parts.path.isEmpty || parts.path == "/"
        else {
            throw ServerError(
                "\(url) is not an address to listen on, as http://127.0.0.1:2379, https://0.0.0.0:2379 or unix:///run/pine.sock")
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        address = .tcp(host: host, port: port)
        isSecure = parts.scheme == "https"
    }

    /// The URL with the port that was taken.
    package func url(bound: SocketAddress) -> String {
        switch address {
        case .unix(let path): "\(isSecure ? "unixs" : "unix")://\(path)"
        case .tcp(let host, _): "\(isSecure ? "https" : "http")://\(host.contains(":") ? "[\(host)]" : host):\(bound.port ?? 0)"
        }
    }
}
