// Owns: the Election service: which machine a call of it becomes.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

enum ElectionService {
    // A campaign that is waited for would keep others' answers waiting.
    static let methods: [ServedMethod] = [
        .handling(.campaign, answersAreShort: true, campaign), .handling(.proclaim, answersAreShort: true, proclaim),
        .handling(.leader, leader), .handling(.observe, observe), .handling(.resign, answersAreShort: true, resign),
    ]

    @Sendable private static func campaign(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: CampaignRequest = try decode(message)
        let kind = Candidacy.Kind.campaign(request.value)
        let machine = Candidacy(kind, name: request.name, lease: request.lease, freshLease: .random)
        try services.coordination.open(call, message, machine)
    }

    @Sendable private static func proclaim(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: ProclaimRequest = try decode(message)
        let machine = Amendment(.proclaim(request.value), request.leader, freshLease: .random)
        try services.coordination.open(call, message, machine)
    }

    @Sendable private static func resign(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: ResignRequest = try decode(message)
        try services.coordination.open(call, message, Amendment(.resign, request.leader, freshLease: .random))
    }

    @Sendable private static func leader(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: LeaderRequest = try decode(message)
        try services.coordination.open(call, message, LeaderQuestion(name: request.name))
    }

    @Sendable private static func observe(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: LeaderRequest = try decode(message)
        try services.coordination.open(call, message, Observation(name: request.name))
    }
}
