// Owns: reading and writing the URLs of `--listen-client-urls`.
internal import Foundation
internal import HTTP2
internal import NIOCore

extension ListenAddress {
    /// `http://host:port`, `http://[::1]:port` or `unix:///path`.
    init(url: String) throws(ServerError) {
        if url.hasPrefix("unix://") {
            let path = String(url.dropFirst("unix://".count))
            guard path.hasPrefix("/") else { throw ServerError("\(url) must name an absolute path, as unix:///run/pine.sock") }
            self = .unix(path: path)
            return
        }
        if url.hasPrefix("https://") { throw ServerError("\(url): Pine has no TLS yet; listen on http:// or unix://") }
        guard let parts = URLComponents(string: url), parts.scheme == "http", var host = parts.host, !host.isEmpty,
            let port = parts.port, (0...65_535).contains(port), parts.path.isEmpty || parts.path == "/"
        else {
            throw ServerError("\(url) is not an address to listen on, as http://127.0.0.1:2379 or unix:///run/pine.sock")
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        self = .tcp(host: host, port: port)
    }

    /// The URL with the port that was taken.
    func url(bound: SocketAddress) -> String {
        switch self {
        case .unix(let path): "unix://\(path)"
        case .tcp(let host, _): "http://\(host.contains(":") ? "[\(host)]" : host):\(bound.port ?? 0)"
        }
    }
}
