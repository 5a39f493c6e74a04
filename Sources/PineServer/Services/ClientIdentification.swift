// Owns: who the clients of one caller are, as far as that is to be said before the engine looks: what they show becomes a principal, which
// is kept with what they showed and renewed now and then.
// Must never: believe a JSON Web Token whose signature was not verified.
internal import Auth
internal import Bytes
internal import EtcdAPI
internal import GRPC
internal import JWT
internal import Keyspace

struct ClientIdentification {
    /// A principal, and until when it may be used.
    private final class Known {
        let principal: Principal
        let until: UInt64

        init(_ principal: Principal, until: UInt64) {
            self.principal = principal
            self.until = until
        }
    }

    /// Where clients show them.
    private var webTokens: WebTokens?
    /// For how long a principal is used: a token that is in use must be seen so often that it does not end.
    private let renewalMs: UInt64

    init(_ tokens: TokenSettings) {
        switch tokens.kind {
        case .simple: webTokens = nil
        case .web(let key): webTokens = WebTokens(key: key, timeToLiveSeconds: Double(tokens.timeToLiveMs) / 1_000)
        }
        renewalMs = min(max(tokens.timeToLiveMs / 16, 1), 1_000)
    }

    /// Who shows these.
    mutating func principal(of credentials: CallCredentials?) -> Principal {
        guard let credentials else { return .anonymous }
        let nowMs = Clock.unixMs
        if let known = credentials.finding as? Known, nowMs < known.until { return known.principal }
        let principal = claim(of: credentials, nowMs).map { Principal($0, seenMs: nowMs) } ?? .anonymous
        credentials.finding = Known(principal, until: nowMs + renewalMs)
        return principal
    }

    private mutating func claim(of credentials: CallCredentials, _ nowMs: UInt64) -> Claim? {
        guard let token = credentials.token else { return nil }
        guard webTokens != nil else { return .token(token) }
        guard case .user(let name, let revision)? = try? webTokens?.identity(of: token, nowSeconds: Double(nowMs) / 1_000) else {
            return .invalid
        }
        return .user(name, revision: revision)
    }

    /// A JSON Web Token for a user whose password was found right; to be made on any thread.
    static func makeWebToken(for user: ByteString, revision: UInt64, _ tokens: TokenSettings) -> Result<ByteString, EtcdError> {
        guard case .web(let key) = tokens.kind else { violated("a JSON Web Token where tokens are simple") }
        let web = WebTokens(key: key, timeToLiveSeconds: Double(tokens.timeToLiveMs) / 1_000)
        do throws(EtcdError) {
            return .success(try web.token(for: user, revision: revision, nowSeconds: Double(Clock.unixMs) / 1_000))
        } catch {
            return .failure(error)
        }
    }
}
