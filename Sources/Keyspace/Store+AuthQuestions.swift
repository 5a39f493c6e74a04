// Owns: what is answered to questions about users, roles and auth's state, as committed.
internal import Auth
package import Bytes
package import EtcdAPI

/// What the service Auth asks of the store.
package enum AuthQuestion: Hashable, Sendable {
    case status
    case user(ByteString)
    case users
    case role(ByteString)
    case roles
    /// What a user's password is to be compared with.
    case passwordHash(of: ByteString)
    /// A token for a user whose password was found to belong to `hash`. `chance` makes it unlike all others.
    case token(for: ByteString, hash: ByteString, chance: UInt64, nowMs: UInt64)
}

package enum AuthAnswer: Hashable, Sendable {
    /// The call's answer.
    case message(ByteString)
    /// The answer of an Authenticate.
    case token(ByteString)
    /// Of a user who can't be authenticated, why.
    case passwordHash(Result<ByteString, EtcdError>)
    /// The hash is not the user's any more.
    case passwordChanged
    /// A JSON Web Token is to be made that speaks for the user at this auth revision, and sent with this header.
    case vouch(for: ByteString, revision: UInt64, ResponseHeader)
}

extension Store {
    /// - Parameter header: of the answer, without its revision.
    package func answer(
        _ question: AuthQuestion, by principal: Principal, header: ResponseHeader
    ) throws(EtcdError) -> AuthAnswer {
        let users = auth.store
        var header = header
        header.revision = revision
        switch question {
        case .status:
            _ = try auth.identity(of: principal, .committed)
            return .message(
                AuthStatusResponse(header: header, enabled: users.isEnabled, authRevision: users.revision).encoded())
        case .user(let name):
            let roles = try users.roles(ofUser: name, by: try auth.identity(of: principal, .committed))
            return .message(AuthUserGetResponse(header: header, roles: roles).encoded())
        case .users:
            try auth.checkAdmin(principal, .committed)
            return .message(AuthUserListResponse(header: header, users: users.userNames).encoded())
        case .role(let name):
            let permissions = try users.permissions(ofRole: name, by: try auth.identity(of: principal, .committed))
            return .message(AuthRoleGetResponse(header: header, perm: permissions).encoded())
        case .roles:
            try auth.checkAdmin(principal, .committed)
            return .message(AuthRoleListResponse(header: header, roles: users.roleNames).encoded())
        case .passwordHash(let name):
            do throws(EtcdError) {
                return .passwordHash(.success(try users.passwordHash(of: name)))
            } catch {
                return .passwordHash(.failure(error))
            }
        case .token(let name, let hash, let chance, let nowMs):
            guard try users.passwordHash(of: name) == hash else { return .passwordChanged }
            guard let timeToLiveMs = auth.tokenTimeToLiveMs else { return .vouch(for: name, revision: users.revision, header) }
            let token = try users.token(for: name, hash: hash, chance: chance, nowMs: nowMs, timeToLiveMs: timeToLiveMs)
            guard let token else { return .passwordChanged }
            return .token(AuthenticateResponse(header: header, token: token).encoded())
        }
    }
}
