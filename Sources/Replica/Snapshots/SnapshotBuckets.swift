// Owns: what a snapshot's file has beside the records of keys: etcd's buckets, as they are at one moment.
// Source: server/storage/schema of etcd (bucket, meta, membership, auth, alarm), server/lease/lessor.go and leasepb.
package import Bytes
internal import EtcdAPI
internal import Keyspace

/// A member as the bucket `members` names it. Restoring replaces them all.
package struct SnapshotMember: Sendable, Hashable {
    package var id: UInt64
    package var name: String
    package var clientURLs: [String]

    package init(id: UInt64, name: String, clientURLs: [String]) {
        self.id = id
        self.name = name
        self.clientURLs = clientURLs
    }
}

/// What the three buckets of auth hold.
package struct AuthSnapshot: Sendable, Hashable {
    package var isEnabled = false
    package var revision: UInt64 = 1
    /// By name, each with its authpb message.
    package var users: [(name: ByteString, message: ByteString)] {
        get { userList.map { ($0.name, $0.message) } }
        set { userList = newValue.map { Entry(name: $0.name, message: $0.message) } }
    }
    package var roles: [(name: ByteString, message: ByteString)] {
        get { roleList.map { ($0.name, $0.message) } }
        set { roleList = newValue.map { Entry(name: $0.name, message: $0.message) } }
    }

    private struct Entry: Sendable, Hashable {
        var name: ByteString
        var message: ByteString
    }
    private var userList: [Entry] = []
    private var roleList: [Entry] = []

    package init() {}
}

struct SnapshotBuckets {
    typealias Element = (key: ByteString, value: ByteString)
    struct Bucket {
        let name: ByteString
        var elements: [Element]
    }

    /// The schema that the file has: with a later one, an etcd of this version would not read it, and there is nothing later in it.
    static let storageVersion = ByteString("3.6.0")

    /// Those whose names come before `key`, in order, and those that come after it. Leases come by themselves.
    let before: [Bucket]
    let after: [Bucket]
    /// By their ids as bytes.
    let leases: [(id: UInt64, ttl: Int64)]

    init(
        _ store: borrowing Store, _ header: ResponseHeader, members: [SnapshotMember], auth: AuthSnapshot
    ) {
        before = [
            Bucket(name: "alarm", elements: Self.sorted(store.committedAlarms.members(of: .none).map { ($0.encoded(), ByteString()) })),
            Bucket(name: "auth", elements: Self.auth(auth)),
            Bucket(name: "authRoles", elements: Self.sorted(auth.roles.map { ($0.name, $0.message) })),
            Bucket(name: "authUsers", elements: Self.sorted(auth.users.map { ($0.name, $0.message) })),
            // The version of the cluster is not here: the cluster that restores the file agrees on its own.
            Bucket(name: "cluster", elements: []),
        ]
        after = [
            Bucket(name: "members", elements: Self.sorted(members.map { Self.member($0) })),
            Bucket(name: "members_removed", elements: []),
            Bucket(name: "meta", elements: Self.meta(store, header)),
        ]
        let table = store.leases
        leases = table.ids.map { (UInt64(bitPattern: $0.rawValue), table[$0]?.ttl ?? 0) }.sorted { $0.id < $1.id }
    }

    /// A leasepb.Lease: the id and the TTL in seconds.
    static func lease(_ lease: (id: UInt64, ttl: Int64)) -> Element {
        var value = ByteWriter(capacity: 24)
        value.append(0x08)
        value.appendVarint(lease.id)
        value.append(0x10)
        value.appendVarint(UInt64(bitPattern: lease.ttl))
        return (bigEndian(lease.id), value.finish())
    }

    private static func auth(_ auth: AuthSnapshot) -> [Element] {
        let revision = (ByteString("authRevision"), bigEndian(auth.revision))
        return auth.isEnabled ? [(ByteString("authEnabled"), ByteString([1])), revision] : [revision]
    }

    private static func meta(_ store: borrowing Store, _ header: ResponseHeader) -> [Element] {
        var elements: [Element] = [
            ("confState", ByteString("{\"voters\":[\(header.memberID)],\"auto_leave\":false}")),
            ("consistent_index", bigEndian(UInt64(bitPattern: store.revision.rawValue))),
            ("storageVersion", storageVersion),
            ("term", bigEndian(header.raftTerm)),
        ]
        if store.compactRevision >= 0 {
            var revision = ByteWriter(capacity: 17)
            revision.appendBigEndian(store.compactRevision.rawValue)
            revision.append(UInt8(ascii: "_"))
            revision.appendBigEndian(Int64(0))
            let bytes = revision.finish()
            elements += [("scheduledCompactRev", bytes), ("finishedCompactRev", bytes)]
        }
        return sorted(elements)
    }

    private static func member(_ member: SnapshotMember) -> Element {
        let id = ByteString(String(member.id, radix: 16))
        let urls = member.clientURLs.map { quoted($0) }.joined(separator: ",")
        return (
            id,
            ByteString("{\"id\":\(member.id),\"peerURLs\":[],\"name\":\(quoted(member.name)),\"clientURLs\":[\(urls)]}")
        )
    }

    /// As a JSON string.
    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": quoted += "\\\(scalar)"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }

    private static func sorted(_ elements: [Element]) -> [Element] { elements.sorted { $0.key < $1.key } }

    private static func bigEndian(_ number: UInt64) -> ByteString {
        var bytes = ByteWriter(capacity: 8)
        bytes.appendBigEndian(number)
        return bytes.finish()
    }
}
