// Owns: the Lock service: which machine a call of it becomes.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

enum LockService {
    // A lock that is waited for would keep others' answers waiting.
    static let methods: [ServedMethod] = [
        .handling(.lock, answersAreShort: true, lock), .handling(.unlock, answersAreShort: true, unlock),
    ]

    @Sendable private static func lock(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: LockRequest = try decode(message)
        let machine = Candidacy(.lock, name: request.name, lease: request.lease, freshLease: .random)
        try services.coordination.open(call, message, machine)
    }

    @Sendable private static func unlock(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: UnlockRequest = try decode(message)
        try services.coordination.open(call, message, Release(key: request.key))
    }
}
