// Owns: the Cluster service: the members that there are, and what is said to those who want to change that: members come and go by
// themselves.
internal import Bytes
internal import Calls
internal import Changelog
internal import EtcdAPI
internal import GRPC
internal import Keyspace
internal import NIOCore

enum ClusterService {
    static let methods: [ServedMethod] = [
        .handling(.memberList, answersAreShort: true, memberList), .handling(.memberAdd, answersAreShort: true, memberAdd),
        .handling(.memberRemove, answersAreShort: true, memberRemove), .handling(.memberUpdate, answersAreShort: true, memberUpdate),
        .handling(.memberPromote, answersAreShort: true, memberPromote),
    ]

    @Sendable private static func memberList(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let list: MemberListRequest = try decode(message)
        services.askRevision(call, linearizable: list.linearizable, needs: .identity) { services, revision in
            let current = services.shared.membership.untilCurrent(
                isLinearizable: list.linearizable, on: services.caller.eventLoop)
            services.respond(call, after: current) { status in
                MemberListResponse(header: status.header(at: revision), members: members(status)).encoded()
            }
        }
    }

    @Sendable private static func memberAdd(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: MemberAddRequest = try decode(message)
        guard !request.peerURLs.isEmpty, request.peerURLs.allSatisfy(\.isPeerURL) else { throw .memberBadURLs }
        services.askMembers(call) { _, _, _ throws(EtcdError) in throw .membersJoin }
    }

    @Sendable private static func memberRemove(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: MemberRemoveRequest = try decode(message)
        services.askMembers(call) { _, status, _ throws(EtcdError) in
            throw status.hasMember(request.id) ? .membersLeave : .memberNotFound
        }
    }

    @Sendable private static func memberUpdate(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: MemberUpdateRequest = try decode(message)
        guard !request.peerURLs.isEmpty, request.peerURLs.allSatisfy(\.isPeerURL) else { throw .memberBadURLs }
        services.askMembers(call) { _, status, _ throws(EtcdError) in
            throw status.hasMember(request.id) ? .membersHaveNoPeers : .memberNotFound
        }
    }

    @Sendable private static func memberPromote(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: MemberPromoteRequest = try decode(message)
        services.askMembers(call) { _, status, _ throws(EtcdError) in
            throw status.hasMember(request.id) ? .memberNotLearner : .memberNotFound
        }
    }

    private static func members(_ status: ServerStatus) -> [EtcdAPI.Member] {
        status.members.map { member in
            EtcdAPI.Member(
                id: UInt64(bitPattern: member.id), name: ByteString(member.name), clientURLs: member.clientURLs.map { ByteString($0) })
        }
    }
}

extension Services {
    /// Asks who the members are, for a client with the role root, and ends the call with what `answer` makes of that.
    func askMembers(
        _ call: CallID, _ answer: @escaping (Services, ServerStatus, Revision) throws(EtcdError) -> ByteString
    ) {
        askRevision(call, linearizable: true, needs: .administration) { services, revision in
            let current = services.shared.membership.untilCurrent(isLinearizable: true, on: services.caller.eventLoop)
            current.assumeIsolated().whenSuccess {
                services.caller.atOnce {
                    do throws(EtcdError) {
                        services.caller.respond(call, try answer(services, services.shared.current, revision))
                    } catch {
                        services.caller.finish(call, GRPCStatus(error))
                    }
                }
            }
        }
    }
}

extension ServerStatus {
    func hasMember(_ id: UInt64) -> Bool { members.contains { UInt64(bitPattern: $0.id) == id } }
}

extension EtcdError {
    fileprivate static let membersJoin = EtcdError(
        code: .failedPrecondition, text: "pine: a member joins by being started with the same database; none is added beforehand")
    fileprivate static let membersLeave = EtcdError(
        code: .failedPrecondition, text: "pine: the member is running; it leaves the list when it is stopped")
    fileprivate static let membersHaveNoPeers = EtcdError(
        code: .failedPrecondition, text: "pine: members have no peer URLs; they meet in the database")
}

extension ByteString {
    /// What etcd takes for one: http or https, a host, a port, and no path.
    fileprivate var isPeerURL: Bool {
        let text = String(decoding: self, as: UTF8.self)
        guard let scheme = ["http://", "https://"].first(where: text.hasPrefix) else {
            return text.hasPrefix("unix") && text.contains("://")
        }
        let authority = text.dropFirst(scheme.count)
        guard !authority.contains("/"), let colon = authority.lastIndex(of: ":"), colon != authority.startIndex else { return false }
        return UInt16(authority[authority.index(after: colon)...]) != nil
    }
}
