import Bytes
import EtcdAPI
import Keyspace
import Replica
import Testing

@testable import PineServer

@Suite("Unlock, Leader, Proclaim, Resign and Observe")
struct ElectionTests {
    private let key = LeaderKey(name: "el", key: "el/1", rev: 7, lease: 1)

    private func header(_ revision: Revision) -> ResponseHeader {
        ResponseHeader(clusterID: 1, memberID: 2, revision: revision, raftTerm: 3)
    }

    private func leader(_ value: ByteString, _ revision: Revision, key: ByteString = "el/1") -> KeyValue {
        KeyValue(key: key, createRevision: 7, modRevision: revision, version: 1, value: value, lease: 1)
    }

    private func told(_ kv: KeyValue, _ revision: Revision) -> CoordinationStep {
        .send(LeaderResponse(header: header(revision), kv: kv).encoded())
    }

    private let look = CoordinationStep.ask(
        .range(RangeRequest(key: "el/", rangeEnd: "el0", limit: 1, sortOrder: .ascend, sortTarget: .create)))

    @Test("Proclaim puts under the leader's lease if its key is the one that it was; if it isn't, there is an error")
    func proclaim() {
        var call = Amendment(.proclaim("v"), key, freshLease: 5)
        #expect(
            call.begin() == [
                .ask(
                    .write(
                        .txn(
                            TxnRequest(
                                compare: [Compare(result: .equal, target: .create, key: "el/1", targetUnion: .createRevision(7))],
                                success: [.put(PutRequest(key: "el/1", value: "v", lease: 1))]))))
            ])
        var other = call
        #expect(
            call.answered(TxnResponse(header: header(8), succeeded: true).encoded()) == [
                .respond(ProclaimResponse(header: header(8)).encoded()), .end,
            ])
        #expect(
            other.answered(TxnResponse(header: header(8)).encoded()) == [
                .fail(EtcdError(code: .unknown, text: "election: not leader")), .end,
            ])
    }

    @Test("Resign of one who does not lead is no error")
    func resign() {
        var call = Amendment(.resign, key, freshLease: 5)
        _ = call.begin()
        #expect(
            call.answered(TxnResponse(header: header(8)).encoded()) == [.respond(ResignResponse(header: header(8)).encoded()), .end])
    }

    @Test("without a leader there is an error, without a lease a new one")
    func sessions() {
        var call = Amendment(.resign, nil, freshLease: 5)
        #expect(call.begin() == [.fail(EtcdError(code: .unknown, text: "\"leader\" field must be provided")), .end])
        call = Amendment(.proclaim("v"), LeaderKey(name: "el", key: "el/0", rev: 7), freshLease: 5)
        #expect(call.begin() == [.ask(.write(.leaseGrant(id: 5, ttl: 60)))])
        let steps = call.answered(LeaseGrantResponse(header: header(1), id: 5, ttl: 60).encoded())
        guard case .ask(.write(.txn(let txn))) = steps.first else {
            Issue.record("\(steps)")
            return
        }
        #expect(txn.success == [.put(PutRequest(key: "el/0", value: "v", lease: 5))])
    }

    @Test("Leader answers with the first key, or says that there is none")
    func question() {
        var call = LeaderQuestion(name: "el")
        #expect(call.begin() == [look])
        let kv = leader("v", 9)
        #expect(
            call.answered(RangeResponse(header: header(11), kvs: [kv], more: true, count: 3).encoded()) == [
                .respond(LeaderResponse(header: header(11), kv: kv).encoded()), .end,
            ])
        #expect(
            call.answered(RangeResponse(header: header(11)).encoded()) == [
                .fail(EtcdError(code: .unknown, text: "election: no leader")), .end,
            ])
    }

    @Test("Unlock deletes the key, whether it is there or not")
    func unlock() {
        var call = Release(key: "l/1")
        #expect(call.begin() == [.ask(.write(.deleteRange(DeleteRangeRequest(key: "l/1"))))])
        #expect(
            call.answered(DeleteRangeResponse(header: header(4)).encoded()) == [
                .respond(UnlockResponse(header: header(4)).encoded()), .end,
            ])
    }

    @Test("Observe waits for a leader, tells each of its values, and goes on to the next leader")
    func observe() {
        var call = Observation(name: "el")
        #expect(call.begin() == [look])
        #expect(
            call.answered(RangeResponse(header: header(5)).encoded()) == [
                .watch(WatchCreateRequest(key: "el/", rangeEnd: "el0", startRevision: 6))
            ])
        #expect(call.watched(WatchResponse(header: header(5), created: true)) == [])
        let (first, second, third) = (leader("a", 7), leader("b", 9), leader("c", 10))
        // The key behind it is not the leader's.
        let candidates = [Event(kv: first), Event(kv: leader("x", 8, key: "el/2"))]
        #expect(
            call.watched(WatchResponse(header: header(8), events: candidates)) == [
                told(first, 7), .watch(WatchCreateRequest(key: "el/1", startRevision: 8)),
            ])
        let events = [
            Event(kv: second), Event(kv: third), Event(type: .delete, kv: KeyValue(key: "el/1", modRevision: 11)),
            Event(kv: leader("later", 12)),
        ]
        #expect(call.watched(WatchResponse(header: header(12), events: events)) == [told(second, 12), told(third, 12), look])
        let next = leader("x", 8, key: "el/2")
        #expect(
            call.answered(RangeResponse(header: header(12), kvs: [next], count: 1).encoded()) == [
                told(next, 12), .watch(WatchCreateRequest(key: "el/2", startRevision: 13)),
            ])
        #expect(call.cancelled() == [.end])
    }

    @Test("Observe looks anew where compaction has overtaken its watch, and ends with it otherwise")
    func observeEnds() {
        var call = Observation(name: "el")
        _ = call.begin()
        _ = call.answered(RangeResponse(header: header(5)).encoded())
        #expect(call.watched(WatchResponse(header: header(9), canceled: true, compactRevision: 9)) == [look])
        #expect(call.failed(.leaderChanged) == [.fail(EtcdError(code: .unknown, text: "election: observe closed early")), .end])
    }
}
