// Owns: what `--auth-token` means: `simple`, or `jwt` with etcd's options. Text to values; whoever calls reads the files.
package enum TokenOptions: Hashable, Sendable {
    case simple
    case jwt(JWT)

    package struct JWT: Hashable, Sendable {
        package var signMethod: SignMethod
        /// Paths of files.
        package var publicKey: String?
        package var privateKey: String?
        /// A duration as Go writes it. nil for the default of five minutes.
        package var timeToLive: String?

        package init(signMethod: SignMethod, publicKey: String? = nil, privateKey: String? = nil, timeToLive: String? = nil) {
            self.signMethod = signMethod
            self.publicKey = publicKey
            self.privateKey = privateKey
            self.timeToLive = timeToLive
        }
    }

    package static let defaultTimeToLiveSeconds = 300.0

    package enum Failure: Error, Hashable {
        /// Neither simple nor jwt.
        case unknownKind(String)
        /// Not `name=value`.
        case notAPair(String)
        case givenTwice(String)
        /// etcd takes options that it does not know, and says so in its log; a wrong name in what keeps strangers out is better an error.
        case unknownOption(String)
        case unknownSignMethod(String)
    }

    package init(_ text: String) throws(Failure) {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        var options: [String: String] = [:]
        for part in parts.dropFirst() {
            let pair = part.split(separator: "=", omittingEmptySubsequences: false).map(String.init)
            guard pair.count == 2 else { throw .notAPair(part) }
            if options.updateValue(pair[1], forKey: pair[0]) != nil { throw .givenTwice(pair[0]) }
        }
        switch parts[0] {
        case "simple":
            if let name = options.keys.min() { throw .unknownOption(name) }
            self = .simple
        case "jwt":
            let known = ["sign-method", "pub-key", "priv-key", "ttl"]
            if let name = options.keys.filter({ !known.contains($0) }).min() { throw .unknownOption(name) }
            let method = options["sign-method"] ?? ""
            guard let signMethod = SignMethod(rawValue: method) else { throw .unknownSignMethod(method) }
            func given(_ name: String) -> String? { options[name].flatMap { $0.isEmpty ? nil : $0 } }
            self = .jwt(
                JWT(signMethod: signMethod, publicKey: given("pub-key"), privateKey: given("priv-key"), timeToLive: given("ttl")))
        default: throw .unknownKind(parts[0])
        }
    }
}
