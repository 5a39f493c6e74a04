// Owns: the search for an order, on histories known to be right and to be wrong.
import Bytes
import EtcdAPI
import Keyspace
import Simulation
import Testing

/// A history in the making. Calls are named by the points at which they begin and end.
private struct History {
    private(set) var operations: [Operation] = []

    mutating func add(_ call: ModelCall, from began: UInt64, to ended: UInt64, _ answer: ModelAnswer) {
        let operation = Operation(number: operations.count + 1, call: call, began: began)
        operation.end(answer, at: ended)
        operations.append(operation)
    }

    /// A call without an answer.
    mutating func addOpen(_ call: ModelCall, from began: UInt64) {
        operations.append(Operation(number: operations.count + 1, call: call, began: began))
    }

    var isLinearizable: Bool {
        var check = LinearizabilityCheck(operations)
        return check.run() == .linearizable
    }
}

private func put(_ value: ByteString, previous: Bool = false) -> ModelCall {
    .put(PutRequest(key: "k", value: value, prevKV: previous))
}

private let get = ModelCall.range(RangeRequest(key: "k"))

/// What `get` is answered at `revision` where the key's only put since its creation at `created` was the last.
private func got(_ revision: Revision, _ value: ByteString?, created: Revision = 2, mod: Revision = 2, version: Int64 = 1) -> ModelAnswer {
    guard let value else { return .range(revision, kvs: [], more: false, count: 0) }
    let kv = KeyValue(key: "k", createRevision: created, modRevision: mod, version: version, value: value)
    return .range(revision, kvs: [kv], more: false, count: 1)
}

@Suite struct LinearizabilityTests {
    @Test("Calls one after the other are in order")
    func sequential() {
        var history = History()
        history.add(get, from: 1, to: 2, got(1, nil))
        history.add(put("a"), from: 3, to: 4, .put(2, previous: nil))
        history.add(get, from: 5, to: 6, got(2, "a"))
        #expect(history.isLinearizable)
    }

    @Test("A read that ends before a write begins can't show it")
    func readFromTheFuture() {
        var history = History()
        history.add(get, from: 1, to: 2, got(2, "a"))
        history.add(put("a"), from: 3, to: 4, .put(2, previous: nil))
        #expect(!history.isLinearizable)
    }

    @Test("A read that begins after a write has ended must show it")
    func staleRead() {
        var history = History()
        history.add(put("a"), from: 1, to: 2, .put(2, previous: nil))
        history.add(get, from: 3, to: 4, got(1, nil))
        #expect(!history.isLinearizable)
    }

    @Test("A read beside a write may show it or not, but not go back")
    func concurrentReads() {
        for (first, second, isRight) in [(false, false, true), (false, true, true), (true, true, true), (true, false, false)] {
            var history = History()
            history.add(put("a"), from: 1, to: 10, .put(2, previous: nil))
            history.add(get, from: 2, to: 3, first ? got(2, "a") : got(1, nil))
            history.add(get, from: 4, to: 5, second ? got(2, "a") : got(1, nil))
            #expect(history.isLinearizable == isRight, "\(first) \(second)")
        }
    }

    @Test("A write is done once: its value can't come before itself")
    func doneTwice() {
        var history = History()
        let before = KeyValue(key: "k", createRevision: 2, modRevision: 2, version: 1, value: "a")
        history.add(put("a", previous: true), from: 1, to: 2, .put(3, previous: before))
        #expect(!history.isLinearizable)
        // Where another client wrote the same it is another matter.
        history.addOpen(put("a"), from: 1)
        #expect(history.isLinearizable)
    }

    @Test("A write that was acknowledged is not lost")
    func lostWrite() {
        var history = History()
        history.add(put("a"), from: 1, to: 2, .put(2, previous: nil))
        history.add(put("b"), from: 3, to: 4, .put(2, previous: nil))
        #expect(!history.isLinearizable)
    }

    @Test("What became of a call without an answer may show at any time, or never")
    func openCalls() {
        for reads in [[got(1, nil), got(1, nil)], [got(1, nil), got(2, "a")], [got(2, "a"), got(2, "a")]] {
            var history = History()
            history.addOpen(put("a"), from: 1)
            for (index, answer) in reads.enumerated() {
                history.add(get, from: UInt64(2 + 2 * index), to: UInt64(3 + 2 * index), answer)
            }
            #expect(history.isLinearizable)
        }
        var history = History()
        history.addOpen(put("a"), from: 1)
        history.add(get, from: 2, to: 3, got(2, "a"))
        history.add(get, from: 4, to: 5, got(1, nil))
        #expect(!history.isLinearizable)
    }

    @Test("Two transactions that both found a lock free are one too many")
    func brokenLock() {
        let lock = ModelCall.txn(
            TxnRequest(
                compare: [Compare(result: .equal, target: .create, key: "k", targetUnion: .createRevision(0))],
                success: [.put(PutRequest(key: "k", value: "mine"))], failure: []))
        let won = ResponseOp.put(PutResponse())
        var history = History()
        history.add(lock, from: 1, to: 5, .txn(2, succeeded: true, [won]))
        history.add(lock, from: 2, to: 6, .txn(2, succeeded: false, []))
        #expect(history.isLinearizable)
        history.add(lock, from: 3, to: 7, .txn(3, succeeded: true, [won]))
        #expect(!history.isLinearizable)
    }

    @Test("Errors that follow from the store must follow from it")
    func errors() {
        var history = History()
        history.add(put("a"), from: 1, to: 2, .put(2, previous: nil))
        history.add(.compact(2), from: 3, to: 4, .done(2))
        history.add(.range(RangeRequest(key: "k", revision: 1)), from: 5, to: 6, .failed(.compacted))
        #expect(history.isLinearizable)
        history.add(.range(RangeRequest(key: "k", revision: 2)), from: 7, to: 8, .failed(.compacted))
        #expect(!history.isLinearizable)
    }

    @Test("A lease's keys go with it, once, and only then")
    func leases() {
        let attached = ModelCall.put(PutRequest(key: "k", value: "a", lease: 7))
        var history = History()
        history.add(.grant(7, ttl: 5), from: 1, to: 2, .done(1))
        history.add(attached, from: 3, to: 4, .put(2, previous: nil))
        history.add(.revoke(7), from: 5, to: 6, .done(3))
        history.add(get, from: 7, to: 8, got(3, nil))
        #expect(history.isLinearizable)
        history.add(attached, from: 9, to: 10, .put(4, previous: nil))
        #expect(!history.isLinearizable)
    }

    @Test("Where the log is known its order counts, and all that it has was asked for")
    func withLog() {
        func row(_ value: ByteString) -> LogRow {
            LogRow(position: Position(2, 0), kind: .put, key: "k", value: value, createRevision: 2, version: 1, origin: 1)
        }
        func isRight(_ log: [LogRow], _ fill: (inout History) -> Void) -> Bool {
            var history = History()
            fill(&history)
            var check = LinearizabilityCheck(history.operations)
            return check.run(log: log[...]) == .linearizable
        }
        let isAcknowledged = { (history: inout History) in history.add(put("a"), from: 1, to: 2, .put(2, previous: nil)) }
        #expect(isRight([row("a")], isAcknowledged))
        #expect(!isRight([row("b")], isAcknowledged))
        #expect(!isRight([], isAcknowledged))
        #expect(!isRight([row("a")]) { _ in })
        #expect(isRight([row("a")]) { $0.addOpen(put("a"), from: 1) })
        #expect(isRight([]) { $0.addOpen(put("a"), from: 1) })
        // Of two whose outcomes nobody knows it was the one that the log names.
        for (value, isSeen) in [("a", false), ("b", true)] as [(ByteString, Bool)] {
            let isFound = isRight([row(value)]) { history in
                history.addOpen(put("a"), from: 1)
                history.addOpen(put("b"), from: 1)
                history.add(get, from: 2, to: 3, got(2, "b"))
            }
            #expect(isFound == isSeen)
        }
    }

    @Test("An order is found among many calls at once")
    func manyAtOnce() {
        var history = History()
        for index in 0..<200 {
            history.add(put(ByteString("v\(index)")), from: UInt64(index), to: 1_000, .put(Revision(201 - index), previous: nil))
        }
        #expect(history.isLinearizable)
        history.add(get, from: 2_000, to: 2_001, got(201, "v1", created: 2, mod: 201, version: 200))
        #expect(!history.isLinearizable)
    }
}
