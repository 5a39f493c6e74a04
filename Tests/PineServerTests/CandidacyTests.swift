import Bytes
import EtcdAPI
import Keyspace
import Replica
import Testing

@testable import PineServer

@Suite("Lock and Campaign")
struct CandidacyTests {
    private static let key = ByteString("jobs/1f")

    private func header(_ revision: Revision) -> ResponseHeader {
        ResponseHeader(clusterID: 1, memberID: 2, revision: revision, raftTerm: 3)
    }

    private func found(_ kvs: [KeyValue], at revision: Revision) -> ByteString {
        RangeResponse(header: header(revision), kvs: kvs, count: Int64(kvs.count)).encoded()
    }

    private func entered(_ revision: Revision, owner: Revision) -> ByteString {
        let first = KeyValue(key: "jobs/other", createRevision: owner, modRevision: owner, version: 1)
        return TxnResponse(
            header: header(revision), succeeded: true,
            responses: [
                .put(PutResponse(header: header(revision))), .range(RangeResponse(header: header(revision), kvs: [first], count: 1)),
            ]
        ).encoded()
    }

    private func withdrawal(createdAt revision: Revision) -> CoordinationStep {
        .ask(
            .write(
                .txn(
                    TxnRequest(
                        compare: [
                            Compare(result: .equal, target: .create, key: Self.key, targetUnion: .createRevision(revision))
                        ], success: [.deleteRange(DeleteRangeRequest(key: Self.key))]))))
    }

    private func lock() -> Candidacy { Candidacy(.lock, name: "jobs", lease: 0x1f, freshLease: 99) }

    /// A lock whose key has create revision 9, behind one of revision 5, and that watches it.
    private func waitingLock() -> Candidacy {
        var call = lock()
        _ = call.begin()
        _ = call.answered(entered(9, owner: 5))
        _ = call.answered(found([KeyValue(key: "jobs/other", createRevision: 5, modRevision: 5, version: 1)], at: 12))
        return call
    }

    @Test("a lock that nobody holds is answered by the transaction that takes it")
    func free() {
        var call = lock()
        let steps = call.begin()
        guard case .ask(.write(.txn(let txn))) = steps.first, steps.count == 1 else {
            Issue.record("\(steps)")
            return
        }
        #expect(txn.compare == [Compare(result: .equal, target: .create, key: Self.key, targetUnion: .createRevision(0))])
        let owner = RequestOp.range(RangeRequest(key: "jobs/", rangeEnd: "jobs0", limit: 1, sortOrder: .ascend, sortTarget: .create))
        #expect(txn.success == [.put(PutRequest(key: Self.key, lease: 0x1f)), owner])
        #expect(txn.failure == [.range(RangeRequest(key: Self.key)), owner])
        #expect(
            call.answered(entered(9, owner: 9)) == [.respond(LockResponse(header: header(9), key: Self.key).encoded()), .end])
    }

    @Test("a client without a lease is granted one of a minute, whose id its key has")
    func grant() {
        var call = Candidacy(.lock, name: "jobs", lease: 0, freshLease: 0x1f)
        #expect(call.begin() == [.ask(.write(.leaseGrant(id: 0x1f, ttl: 60)))])
        let steps = call.answered(LeaseGrantResponse(header: header(1), id: 0x1f, ttl: 60).encoded())
        guard case .ask(.write(.txn(let txn))) = steps.first else {
            Issue.record("\(steps)")
            return
        }
        #expect(txn.success.first == .put(PutRequest(key: Self.key, lease: 0x1f)))
        #expect(Queue.key("jobs/", lease: -255) == "jobs/-ff")
    }

    @Test("a lock waits for the last key before its own, looks again, and is held once none is left and its own is there")
    func wait() {
        var call = lock()
        _ = call.begin()
        let look = CoordinationStep.ask(
            .range(
                RangeRequest(
                    key: "jobs/", rangeEnd: "jobs0", limit: 1, sortOrder: .descend, sortTarget: .create, maxCreateRevision: 8)))
        #expect(call.answered(entered(9, owner: 5)) == [look])
        let watch = call.answered(found([KeyValue(key: "jobs/other", createRevision: 5, modRevision: 5, version: 1)], at: 12))
        #expect(watch == [.watch(WatchCreateRequest(key: "jobs/other", startRevision: 13, filters: [.noPut]))])
        #expect(call.watched(WatchResponse(header: header(12), created: true)) == [])
        #expect(
            call.watched(
                WatchResponse(header: header(14), events: [Event(type: .delete, kv: KeyValue(key: "jobs/other", modRevision: 14))])) == [
                    look
                ])
        #expect(call.answered(found([], at: 14)) == [.ask(.range(RangeRequest(key: Self.key)))])
        let own = KeyValue(key: Self.key, createRevision: 9, modRevision: 9, version: 1, lease: 0x1f)
        #expect(
            call.answered(found([own], at: 15)) == [.respond(LockResponse(header: header(15), key: Self.key).encoded()), .end])
    }

    @Test("a lock whose key went with its lease while it waited is told that its session is over")
    func expired() {
        var call = waitingLock()
        _ = call.watched(WatchResponse(header: header(14), events: [Event(type: .delete, kv: KeyValue(key: "jobs/other"))]))
        _ = call.answered(found([], at: 14))
        #expect(call.answered(found([], at: 15)) == [.fail(EtcdError(code: .unknown, text: "mutex: session is expired")), .end])
    }

    @Test("a watch that compaction has overtaken is begun anew; any other end fails the call and takes its key back")
    func watchEnds() {
        var call = waitingLock()
        let again = call.watched(WatchResponse(header: header(14), canceled: true, compactRevision: 14))
        guard case .ask(.range) = again.first else {
            Issue.record("\(again)")
            return
        }
        call = waitingLock()
        #expect(
            call.watched(WatchResponse(header: header(14), canceled: true, cancelReason: "too many")) == [
                .fail(EtcdError(code: .unknown, text: "too many")), withdrawal(createdAt: 9),
            ])
        #expect(call.answered(TxnResponse(header: header(15), succeeded: true).encoded()) == [.end])
    }

    @Test("a client that gives up leaves no key behind, whenever it does")
    func cancelled() {
        var call = lock()
        _ = call.begin()
        // The key is on its way.
        #expect(call.cancelled() == [])
        #expect(call.answered(entered(9, owner: 5)) == [withdrawal(createdAt: 9)])
        #expect(call.answered(TxnResponse(header: header(10), succeeded: true).encoded()) == [.end])

        call = lock()
        _ = call.begin()
        _ = call.answered(entered(9, owner: 5))
        #expect(call.cancelled() == [withdrawal(createdAt: 9)])
        #expect(call.failed(.timeout) == [.end])

        call = waitingLock()
        #expect(call.cancelled() == [withdrawal(createdAt: 9)])

        call = waitingLock()
        _ = call.watched(WatchResponse(header: header(14), events: [Event(type: .delete, kv: KeyValue(key: "jobs/other"))]))
        _ = call.answered(found([], at: 14))
        #expect(call.cancelled() == [withdrawal(createdAt: 9)])

        // A lease of our own goes by itself.
        call = Candidacy(.lock, name: "jobs", lease: 0, freshLease: 7)
        _ = call.begin()
        #expect(call.cancelled() == [.end])
    }

    @Test("an error of the engine loses its code, as it does in etcd's services")
    func errors() {
        var call = lock()
        _ = call.begin()
        #expect(call.failed(.leaseNotFound) == [.fail(EtcdError(code: .unknown, text: "etcdserver: requested lease not found")), .end])
        call = waitingLock()
        #expect(call.failed(.leaderChanged) == [.fail(EtcdError.leaderChanged.withoutCode), withdrawal(createdAt: 9)])
    }

    @Test("who campaigns again with another value proclaims it first; the answer has the first transaction's revision")
    func campaign() {
        var call = Candidacy(.campaign("new"), name: "jobs", lease: 0x1f, freshLease: 99)
        _ = call.begin()
        let own = KeyValue(key: Self.key, createRevision: 9, modRevision: 9, version: 1, value: "old", lease: 0x1f)
        let existing = TxnResponse(
            header: header(20), succeeded: false, responses: [.range(RangeResponse(header: header(20), kvs: [own], count: 1))])
        #expect(
            call.answered(existing.encoded()) == [
                .ask(
                    .write(
                        .txn(
                            TxnRequest(
                                compare: [Compare(result: .equal, target: .create, key: Self.key, targetUnion: .createRevision(9))],
                                success: [.put(PutRequest(key: Self.key, value: "new", lease: 0x1f))]))))
            ])
        _ = call.answered(TxnResponse(header: header(21), succeeded: true).encoded())
        let leader = LeaderKey(name: "jobs", key: Self.key, rev: 9, lease: 0x1f)
        #expect(
            call.answered(found([], at: 21)) == [.respond(CampaignResponse(header: header(20), leader: leader).encoded()), .end])
    }
}
