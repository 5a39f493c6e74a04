// Owns: the flags that say how users are known, by etcd's names.
import ArgumentParser
import Bytes
import Foundation
import JWT
import PineServer

struct AuthOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The tokens that clients get for their password: simple, or jwt,sign-method=RS256,pub-key=FILE,priv-key=FILE,ttl=10m, by any of "
                + "the HS, RS, PS and ES methods or EdDSA. All members of a store need the same.",
            valueName: "kind"))
    var authToken = "simple"

    @Option(
        help: ArgumentHelp("How long a simple token is good after it was last used. A bare number counts seconds.", valueName: "duration"))
    var authTokenTtl = Milliseconds("300s")

    @Option(
        help: ArgumentHelp("How much work the hash of a new password is, from 4 to 31: one more is twice as much.", valueName: "cost"))
    var bcryptCost = 10

    func validate() throws {
        guard (4...31).contains(bcryptCost) else { throw ValidationError("--bcrypt-cost is \(bcryptCost); it must be from 4 to 31") }
        guard authTokenTtl.count > 0 else { throw ValidationError("--auth-token-ttl must be longer than 0") }
        _ = try options()
    }

    func apply(to configuration: inout ServerConfiguration) throws {
        configuration.auth.bcryptCost = bcryptCost
        configuration.auth.tokens.timeToLiveMs = UInt64(authTokenTtl.count)
        guard case .jwt(let jwt) = try options() else { return }
        let (publicKey, privateKey) = (try Self.read(jwt.publicKey), try Self.read(jwt.privateKey))
        let key: SigningKey
        do throws(SigningKey.Failure) {
            key = try SigningKey(jwt.signMethod, publicKey: publicKey, privateKey: privateKey)
        } catch {
            switch error {
            case .missingKey: throw UsageError("--auth-token jwt needs pub-key=FILE, or priv-key=FILE to make tokens as well")
            case .unreadable(let isPrivate):
                let file = (isPrivate ? jwt.privateKey : jwt.publicKey) ?? ""
                throw UsageError("--auth-token: \(file) is no \(isPrivate ? "private" : "public") key for \(jwt.signMethod.rawValue)")
            case .keysDoNotMatch: throw UsageError("--auth-token: pub-key and priv-key do not belong together")
            }
        }
        configuration.auth.tokens.kind = .web(key)
        configuration.auth.tokens.timeToLiveMs = UInt64(TokenOptions.defaultTimeToLiveSeconds * 1_000)
        guard let text = jwt.timeToLive else { return }
        guard let timeToLive = Milliseconds(argument: text), timeToLive.count > 0 else {
            throw UsageError("--auth-token: ttl=\(text) is not a duration, as 10m")
        }
        configuration.auth.tokens.timeToLiveMs = UInt64(timeToLive.count)
    }

    private func options() throws -> TokenOptions {
        do throws(TokenOptions.Failure) {
            return try TokenOptions(authToken)
        } catch {
            switch error {
            case .unknownKind(let kind): throw ValidationError("--auth-token \(kind): it must be simple or jwt")
            case .notAPair(let text): throw ValidationError("--auth-token: \(text) is not an option, as sign-method=RS256")
            case .givenTwice(let name): throw ValidationError("--auth-token: \(name) is given twice")
            case .unknownOption(let name):
                throw ValidationError("--auth-token has no option \(name), only sign-method, pub-key, priv-key and ttl")
            case .unknownSignMethod(let method):
                let all = SignMethod.allCases.map(\.rawValue).joined(separator: ", ")
                throw ValidationError("--auth-token: sign-method=\(method) must be one of \(all)")
            }
        }
    }

    private static func read(_ path: String?) throws -> ByteString? {
        guard let path else { return nil }
        do {
            return ByteString(try Data(contentsOf: URL(fileURLWithPath: path)))
        } catch {
            throw UsageError("--auth-token: can't read \(path): \(error.localizedDescription)")
        }
    }
}
