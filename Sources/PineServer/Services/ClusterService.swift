// Owns: the Cluster service: the members that there are.
internal import Bytes
internal import Calls
internal import Changelog
internal import EtcdAPI
internal import Keyspace

enum ClusterService {
    static let methods: [ServedMethod] = [.handling(.memberList, answersAreShort: true, memberList)]

    @Sendable private static func memberList(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let list: MemberListRequest = try decode(message)
        services.askRevision(call, linearizable: list.linearizable) { services, revision in
            let current = services.shared.membership.untilCurrent(
                isLinearizable: list.linearizable, on: services.caller.eventLoop)
            services.respond(call, after: current) { status in
                MemberListResponse(header: status.header(at: revision), members: members(status)).encoded()
            }
        }
    }

    private static func members(_ status: ServerStatus) -> [EtcdAPI.Member] {
        status.members.map { member in
            EtcdAPI.Member(
                id: UInt64(bitPattern: member.id), name: ByteString(member.name), clientURLs: member.clientURLs.map { ByteString($0) })
        }
    }
}
