// Owns: the check that a real etcd restores what Pine's Maintenance.Snapshot gives, and then says what Pine says.
import Bytes
import EtcdAPI
import Foundation
import TestSupport
import Testing

@Suite("Snapshots that etcd restores", .ownThreads)
struct SnapshotTests {
    /// An etcd on a data directory that was restored.
    private final class RestoredEtcd {
        let port: Int
        private let process: ChildProcess

        init(_ program: String, snapshot: String, in folder: TemporaryFolder) throws {
            port = try freePort()
            let (data, peer) = (folder.file("restored"), "http://127.0.0.1:\(try freePort())")
            let cluster = ["--name", "r", "--initial-cluster", "r=\(peer)", "--initial-advertise-peer-urls", peer]
            let restored = try runCommand("\(program)utl", ["snapshot", "restore", snapshot, "--data-dir", data] + cluster)
            guard restored.status == 0 else { throw TestSupportError("etcdutl snapshot restore: \(restored.stderr)") }
            let endpoint = "http://127.0.0.1:\(port)"
            process = try ChildProcess(
                program,
                [
                    "--data-dir", data, "--listen-client-urls", endpoint, "--advertise-client-urls", endpoint, "--listen-peer-urls", peer,
                    "--log-level", "error",
                ] + cluster, outputPath: folder.file("etcd.log"))
            try eventuallyBlocking("the restored etcd") {
                try EtcdServer.etcdctl("endpoint", "health", "--command-timeout=2s", endpoint: endpoint).status == 0
            }
        }
    }

    private let everything = RangeRequest(key: ByteString([0]), rangeEnd: ByteString([0]))

    private func hash(_ client: EtcdClient, at revision: Revision) throws -> HashKVResponse {
        try client.call(.hashKV, HashKVRequest(revision: revision), answer: HashKVResponse.self)
    }

    @Test("The restored etcd has the keys, now and in the past, the leases and the hashes")
    func restored() throws {
        let folder = try TemporaryFolder()
        let pine = try PineProcess(["--postgres", try PostgresServer.shared().newDatabase()])
        let client = try EtcdClient(port: pine.port)
        let lease = try client.call(.leaseGrant, LeaseGrantRequest(ttl: 5_000), answer: LeaseGrantResponse.self).id
        for index in 0..<300 {
            let value = ByteString([UInt8](repeating: 7, count: index * index % 20_000))
            _ = try client.put(PutRequest(key: ByteString("k\(index % 120)"), value: value, lease: index % 3 == 0 ? lease : 0))
        }
        for index in 0..<30 { _ = try client.delete(DeleteRangeRequest(key: ByteString("k\(index)"))) }
        _ = try client.compact(200)
        let file = folder.file("snapshot.db")
        let saved = try EtcdServer.etcdctl("snapshot", "save", file, endpoint: "http://127.0.0.1:\(pine.port)")
        try #require(saved.status == 0, "\(saved.stderr)")

        let etcd = try RestoredEtcd(String(try EtcdServer.etcdctlPath().dropLast("ctl".count)), snapshot: file, in: folder)
        let other = try EtcdClient(port: etcd.port)
        for revision: Revision in [0, 210, 300, 320] {
            var request = everything
            request.revision = revision
            let (ours, theirs) = (try client.range(request), try other.range(request))
            #expect(ours.kvs == theirs.kvs && ours.header?.revision == theirs.header?.revision)
            let (one, two) = (try hash(client, at: revision), try hash(other, at: revision))
            #expect(one.hash == two.hash && one.compactRevision == two.compactRevision)
        }
        let request = LeaseTimeToLiveRequest(id: lease, keys: true)
        let ours = try client.call(.leaseTimeToLive, request, answer: LeaseTimeToLiveResponse.self)
        let theirs = try other.call(.leaseTimeToLive, request, answer: LeaseTimeToLiveResponse.self)
        #expect(theirs.grantedTTL == 5_000 && Set(ours.keys) == Set(theirs.keys) && !ours.keys.isEmpty)
    }
}
