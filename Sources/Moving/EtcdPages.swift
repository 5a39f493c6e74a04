// Owns: reading all keys of an etcd or a Pine at one revision, some megabytes at a time.
internal import Bytes
package import EtcdAPI
package import EtcdClient
internal import GRPC

package struct EtcdPages: PageSource {
    package let revision: Revision
    /// How many keys there are at the revision.
    package let keyCount: Int64
    private let connection: EtcdClientConnection
    private var from: ByteString
    private var limit: Int64 = 16
    private var isAtEnd = false
    private var leases: Set<LeaseID>

    private static let pageBytes = 4 << 20
    private static let limits: ClosedRange<Int64> = 4...5_000

    /// At `revision`, or the newest where that is nil; after the key `after`. `leases` were told of before.
    package init(
        _ connection: EtcdClientConnection, revision: Revision? = nil, after: [UInt8]? = nil, leases: Set<LeaseID> = []
    ) async throws {
        self.connection = connection
        self.leases = leases
        from = after.map { ByteString($0).next } ?? ByteString([0])
        let all = RangeRequest(key: ByteString([0]), rangeEnd: ByteString([0]), revision: revision ?? 0, countOnly: true)
        let answer = try await connection.range(all)
        guard let newest = answer.header?.revision else { throw MoveError("the server's answer has no header") }
        self.revision = revision ?? newest
        keyCount = answer.count
    }

    package mutating func next() async throws -> Page? {
        guard !isAtEnd else { return nil }
        let answer = try await connection.range(
            RangeRequest(key: from, rangeEnd: ByteString([0]), limit: limit, revision: revision))
        isAtEnd = !answer.more
        guard let last = answer.kvs.last else { return nil }
        from = last.key.next
        // So that a page is about as large as it should be, whatever the values are.
        let bytes = answer.kvs.reduce(1) { $0 + $1.key.count + $1.value.count }
        let fitting = Int64(answer.kvs.count * EtcdPages.pageBytes / bytes)
        limit = min(max(fitting, EtcdPages.limits.lowerBound), EtcdPages.limits.upperBound, limit * 8)
        var page = Page(keys: answer.kvs)
        for kv in answer.kvs where kv.lease != 0 && leases.insert(kv.lease).inserted {
            let lease: LeaseTimeToLiveResponse
            do {
                lease = try await connection.call(
                    .leaseTimeToLive, LeaseTimeToLiveRequest(id: kv.lease), LeaseTimeToLiveResponse.self)
            } catch let status as GRPCStatus {
                guard status.code == .notFound else { throw status }
                lease = LeaseTimeToLiveResponse(id: kv.lease, ttl: -1)
            }
            // One that has ended since the revision takes its keys along; so it shall at the target.
            page.leases.append(LeaseGrantRequest(ttl: max(lease.grantedTTL, 1), id: kv.lease))
        }
        return page
    }
}

extension EtcdClientConnection {
    func range(_ request: RangeRequest) async throws -> RangeResponse {
        do {
            return try await call(.range, request, RangeResponse.self)
        } catch let status as GRPCStatus {
            guard status.message == EtcdError.compacted.text else { throw status }
            throw MoveError("revision \(request.revision) has been compacted meanwhile: delete the file and begin anew")
        }
    }
}
