// Owns: which requests over HTTP are let in by the host they name, and which pages of other sites may read the answers (etcd's
// `--host-whitelist` and `--cors`, server/embed/serve.go).

package struct AccessRules: Sendable, Hashable {
    private let hosts: Set<String>
    private let origins: Set<String>

    /// Both let in everything where they are empty or have a `*`.
    package init(hosts: [String] = [], origins: [String] = []) {
        self.hosts = hosts.contains("*") ? [] : Set(hosts)
        self.origins = origins.contains("*") ? [] : Set(origins)
    }

    /// What is answered without a look at the path, if anything.
    package func answer(to request: PageRequest, isSecure: Bool) -> PageResponse? {
        let host = AccessRules.hostName(request.fields.host ?? "")
        // A browser can be led here under any name (DNS rebinding), but then it has no certificate of ours for it.
        if !isSecure, !hosts.isEmpty, !hosts.contains(host) { return AccessRules.misdirected(host) }
        return request.method == "OPTIONS" ? PageResponse(status: 200, contentType: nil, body: "") : nil
    }

    /// What every answer says of who may read it.
    package func fields(for request: PageRequest) -> [PageResponse.Field] {
        if origins.isEmpty { return AccessRules.open }
        guard let origin = request.fields.origin, origins.contains(origin) else { return [] }
        return AccessRules.fields(origin)
    }

    private static let open = fields("*")

    private static func fields(_ origin: String) -> [PageResponse.Field] {
        [
            PageResponse.Field("access-control-allow-methods", "POST, GET, OPTIONS, PUT, DELETE"),
            PageResponse.Field("access-control-allow-origin", origin),
            PageResponse.Field("access-control-allow-headers", "accept, content-type, authorization"),
        ]
    }

    /// The host without its port: `[::1]:2379` is `::1`. What has no port stays as it is.
    static func hostName(_ host: String) -> String {
        guard let colon = host.lastIndex(of: ":") else { return host }
        let name = host[..<colon]
        if name.hasPrefix("["), name.hasSuffix("]") { return String(name.dropFirst().dropLast()) }
        return name.contains(":") ? host : String(name)
    }

    private static func misdirected(_ host: String) -> PageResponse {
        // Go's %q, as far as a host name goes.
        let quoted = host.unicodeScalars.map { scalar in
            scalar.value < 0x20 || scalar == "\"" || scalar == "\\" || scalar.value == 0x7F ? "?" : String(scalar)
        }.joined()
        return .error(
            421,
            """

            etcd received your request, but the Host header was unrecognized.

            To fix this, choose one of the following options:
            - Enable TLS, then any HTTPS request will be allowed.
            - Add the hostname you want to use to the whitelist in settings.
              - e.g. etcd --host-whitelist "\(quoted)"

            This requirement has been added to help prevent "DNS Rebinding" attacks (CVE-2018-5702).

            """)
    }
}
