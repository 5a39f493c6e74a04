// Owns: the Auth service: what its requests ask of the engine, and Authenticate, which takes several steps.
// Must never: keep a password longer than it takes to hash or compare it, or log one; tell by an answer or by its time whether a user exists.
//
//   Authenticate ─▶ the user's hash ─▶ compared, on a thread for that ─▶ a token ─▶ answered
//                         ▲                                                │
//                         └──────────── the password was changed ──────────┘
internal import Auth
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import GRPC
internal import Keyspace
internal import Passwords
internal import Replica

final class AuthService {
    static let methods: [ServedMethod] = [
        .asking(.authEnable, answersAreShort: true) { message, _ throws(EtcdError) in
            let _: AuthEnableRequest = try decode(message)
            return .write(.auth(.enable(.random())))
        },
        .asking(.authDisable, answersAreShort: true) { message, _ throws(EtcdError) in
            let _: AuthDisableRequest = try decode(message)
            return .write(.auth(.disable))
        },
        .asking(.authStatus, answersAreShort: true) { message, _ throws(EtcdError) in
            let _: AuthStatusRequest = try decode(message)
            return .auth(.status)
        },
        .handling(.authenticate, answersAreShort: true) { services, call, message throws(EtcdError) in
            try services.auth.authenticate(services, call, message)
        },
        .handling(.userAdd, answersAreShort: true, addUser),
        .asking(.userGet) { message, _ throws(EtcdError) in
            let request: AuthUserGetRequest = try decode(message)
            return .auth(.user(request.name))
        },
        .asking(.userList) { message, _ throws(EtcdError) in
            let _: AuthUserListRequest = try decode(message)
            return .auth(.users)
        },
        .asking(.userDelete, answersAreShort: true) { message, _ throws(EtcdError) in
            let request: AuthUserDeleteRequest = try decode(message)
            return .write(.auth(.deleteUser(request.name)))
        },
        .handling(.userChangePassword, answersAreShort: true, changePassword),
        .asking(.userGrantRole, answersAreShort: true) { message, _ throws(EtcdError) in
            let request: AuthUserGrantRoleRequest = try decode(message)
            return .write(.auth(.grantRole(request.role, to: request.user)))
        },
        .asking(.userRevokeRole, answersAreShort: true) { message, _ throws(EtcdError) in
            let request: AuthUserRevokeRoleRequest = try decode(message)
            return .write(.auth(.revokeRole(request.role, from: request.name)))
        },
        .asking(.roleAdd, answersAreShort: true) { message, _ throws(EtcdError) in
            let request: AuthRoleAddRequest = try decode(message)
            return .write(.auth(.addRole(request.name)))
        },
        .asking(.roleGet) { message, _ throws(EtcdError) in
            let request: AuthRoleGetRequest = try decode(message)
            return .auth(.role(request.role))
        },
        .asking(.roleList) { message, _ throws(EtcdError) in
            let _: AuthRoleListRequest = try decode(message)
            return .auth(.roles)
        },
        .asking(.roleDelete, answersAreShort: true) { message, _ throws(EtcdError) in
            let request: AuthRoleDeleteRequest = try decode(message)
            return .write(.auth(.deleteRole(request.role)))
        },
        .asking(.roleGrantPermission, answersAreShort: true) { message, _ throws(EtcdError) in
            let request: AuthRoleGrantPermissionRequest = try decode(message)
            return .write(.auth(.grantPermission(request.perm, to: request.name)))
        },
        .asking(.roleRevokePermission, answersAreShort: true) { message, _ throws(EtcdError) in
            let request: AuthRoleRevokePermissionRequest = try decode(message)
            return .write(.auth(.revokePermission(key: request.key, rangeEnd: request.rangeEnd, from: request.role)))
        },
    ]

    private let settings: AuthSettings
    private let passwords: PasswordThreads
    /// Calls of Authenticate that are not answered.
    private var logins: [CallID: AuthenticateRequest] = [:]

    init(_ settings: AuthSettings, passwords: PasswordThreads) {
        self.settings = settings
        self.passwords = passwords
    }

    /// The call is over; it need not have been one of Authenticate.
    func forget(_ call: CallID) {
        if !logins.isEmpty { logins[call] = nil }
    }

    // MARK: Passwords of users

    @Sendable private static func addUser(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: AuthUserAddRequest = try decode(message)
        // The client's own hash is not looked at, as in etcd.
        if request.options?.noPassword == true { return services.ask(call, .write(.auth(.addUser(request.name, hash: nil)))) }
        let name = request.name.compacted()
        try services.auth.hash(request.password, services, call) { .addUser(name, hash: $0) }
    }

    @Sendable private static func changePassword(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: AuthUserChangePasswordRequest = try decode(message)
        let name = request.name.compacted()
        guard request.password.isEmpty else {
            return try services.auth.hash(request.password, services, call) { .changePassword(name, .hash($0)) }
        }
        let hash = Base64.decodeStandard(request.hashedPassword)
        services.ask(call, .write(.auth(.changePassword(name, hash.map { .hash($0) } ?? .undecodable))))
    }

    private func hash(
        _ password: ByteString, _ services: Services, _ call: CallID, _ command: @escaping (ByteString) -> AuthCommand
    ) throws(EtcdError) {
        let job = PasswordThreads.Job.hash(password.compacted(), cost: settings.bcryptCost)
        try passwords.submit(
            job,
            services.callback { services, outcome in
                guard services.caller.isOpen(call) else { return }
                switch outcome {
                case .hashed(let hash): services.ask(call, .write(.auth(command(hash))))
                case .failed(let failure): services.caller.finish(call, GRPCStatus(EtcdError(failure)))
                case .stopped: services.caller.finish(call, GRPCStatus(.stopped))
                case .compared, .made: violated("a password was to be hashed")
                }
            })
    }

    // MARK: Authenticate

    private func authenticate(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        var login: AuthenticateRequest = try decode(message)
        login.name = login.name.compacted()
        login.password = login.password.compacted()
        logins[call] = login
        services.ask(call, .auth(.passwordHash(of: login.name)))
    }

    /// What the engine says to a call of Authenticate.
    func heard(_ services: Services, _ call: CallID, _ answer: AuthAnswer) {
        guard let login = logins[call] else { return }
        switch answer {
        case .message: violated("a login is answered by a token")
        case .passwordHash(let hash):
            do throws(EtcdError) {
                try compare(login, try hash.get(), services, call)
            } catch {
                refuse(error, login, services, call)
            }
        case .passwordChanged: services.ask(call, .auth(.passwordHash(of: login.name)))
        case .token(let message):
            logins[call] = nil
            services.caller.respond(call, message)
        case .vouch(let user, let revision, let header): vouch(user, revision, header, services, call)
        }
    }

    private func compare(_ login: AuthenticateRequest, _ hash: ByteString, _ services: Services, _ call: CallID) throws(EtcdError) {
        try passwords.submit(
            .compare(login.password, hash: hash),
            services.callback { services, outcome in
                guard let login = services.auth.logins[call] else { return }
                if outcome == .stopped {
                    services.auth.end(call, .stopped, services)
                } else if outcome == .compared(true) {
                    let chance = UInt64.random(in: .min ... .max)
                    services.ask(call, .auth(.token(for: login.name, hash: hash, chance: chance, nowMs: Clock.unixMs)))
                } else {
                    services.auth.end(call, .authFailed, services)
                }
            })
    }

    /// A user who does not exist is refused after as long as one with another password.
    private func refuse(_ error: EtcdError, _ login: AuthenticateRequest, _ services: Services, _ call: CallID) {
        guard error == .authFailed else { return end(call, error, services) }
        do throws(EtcdError) {
            try passwords.submit(
                .pretend(login.password, cost: settings.bcryptCost),
                services.callback { services, _ in services.auth.end(call, error, services) })
        } catch {
            end(call, error, services)
        }
    }

    /// A signature takes about a millisecond.
    private func vouch(_ user: ByteString, _ revision: UInt64, _ header: ResponseHeader, _ services: Services, _ call: CallID) {
        let tokens = settings.tokens
        do throws(EtcdError) {
            try passwords.submit(
                .make { ClientIdentification.makeWebToken(for: user, revision: revision, tokens) },
                services.callback { services, outcome in
                    guard case .made(let token) = outcome else { return services.auth.end(call, .stopped, services) }
                    guard services.auth.logins.removeValue(forKey: call) != nil else { return }
                    switch token {
                    case .success(let token):
                        services.caller.respond(call, AuthenticateResponse(header: header, token: token).encoded())
                    case .failure(let error): services.caller.finish(call, GRPCStatus(error))
                    }
                })
        } catch {
            end(call, error, services)
        }
    }

    private func end(_ call: CallID, _ error: EtcdError, _ services: Services) {
        guard let login = logins.removeValue(forKey: call) else { return }
        services.noteFailedLogin(login.name, error, call)
        services.caller.finish(call, GRPCStatus(error))
    }
}

extension EtcdError {
    fileprivate init(_ failure: Bcrypt.Failure) {
        switch failure {
        case .passwordTooLong: self.init(code: .unknown, text: "bcrypt: password length exceeds 72 bytes")
        case .passwordHasNUL: self.init(code: .invalidArgument, text: "a password must not contain a NUL byte")
        }
    }
}
