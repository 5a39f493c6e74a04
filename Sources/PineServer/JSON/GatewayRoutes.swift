// Owns: which request over HTTP is which call, and what is answered to those that are none (grpc-gateway behind net/http).
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Gateway
internal import HTTP1

struct GatewayRoutes: Sendable {
    enum Target {
        case call(Route, MethodIndex)
        case refused(GatewayStatus)
        /// To the same path without its detours.
        case redirect(to: String)
        case page
    }

    /// By the call's path.
    private let served: [String: MethodIndex]

    init() {
        served = Dictionary(uniqueKeysWithValues: ServedMethod.all.enumerated().map { ($1.method.path, MethodIndex(rawValue: $0)) })
    }

    func find(_ request: PageRequest) -> Target {
        let beta = "/v3beta/"
        let path = request.path.hasPrefix(beta) ? "/v3/" + request.path.dropFirst(beta.count) : request.path
        if let route = Route.find(path) { return target(route, request) }
        let clean = path == "/v3" ? "/v3/" : GatewayRoutes.clean(path)
        if clean != path {
            return .redirect(
                to: GatewayRoutes.escaped(clean) + (request.rawQuery.map { "?" + GatewayRoutes.escaped($0, also: "?%[]|^{}") } ?? ""))
        }
        return path.hasPrefix("/v3/") ? .refused(.notFound) : .page
    }

    private func target(_ route: Route, _ request: PageRequest) -> Target {
        // A form may ask for another method than POST, which no path has.
        let method = request.method == "POST" ? request.fields.methodOverride ?? "POST" : request.method
        guard method.uppercased() == "POST" else { return .refused(.methodNotAllowed) }
        guard let method = served[route.call] else { violated("no service has \(route.call)") }
        return .call(route, method)
    }

    /// Without `//`, `.` and `..`, and with the slash at its end if there was one (net/http's cleanPath).
    static func clean(_ path: String) -> String {
        var names: [Substring] = []
        for name in path.split(separator: "/") where name != "." {
            if name == ".." { _ = names.popLast() } else { names.append(name) }
        }
        let clean = "/" + names.joined(separator: "/")
        return path.hasSuffix("/") && clean != "/" ? clean + "/" : clean
    }

    /// As a part of a URL, in which `also` may stand, too.
    private static func escaped(_ path: String, also: String = "") -> String {
        let plain = Set(also.utf8).union("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~/$&+,:;=@!'()*".utf8)
        let digits = Array("0123456789ABCDEF")
        return path.utf8.map { byte in
            plain.contains(byte) ? String(Unicode.Scalar(byte)) : "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
        }.joined()
    }
}
