// Checks that each request asks for what it touches, and for nothing else.
internal import Auth
internal import Bytes
internal import EtcdAPI
internal import Testing

@Suite struct RightsTests {
    /// May read `r` and `b`, write `w` and `b`.
    private let rights = Rights.ranges(
        PermissionSet([
            Permission(permType: .read, key: "r"), Permission(permType: .write, key: "w"), Permission(permType: .readWrite, key: "b"),
        ]))
    private let leases: [LeaseID: [ByteString]] = [1: ["w", "b"], 2: ["w", "r"], 3: []]

    private func refusal(_ check: () throws(EtcdError) -> Void) -> EtcdError? {
        do { try check() } catch { return error }
        return nil
    }

    private func refused(_ check: () throws(EtcdError) -> Void) -> Bool { refusal(check) == .permissionDenied }

    private func refused(_ transaction: TxnRequest) -> Bool {
        refused { () throws(EtcdError) in try rights.check(transaction, keysOfLease: { leases[$0] ?? [] }) }
    }

    @Test("single requests")
    func single() {
        for (key, reads, writes) in [("r" as ByteString, true, false), ("w", false, true), ("b", true, true), ("x", false, false)] {
            #expect(refused { () throws(EtcdError) in try rights.check(RangeRequest(key: key)) } == !reads)
            #expect(refused { () throws(EtcdError) in try rights.check(WatchCreateRequest(key: key)) } == !reads)
            #expect(refused { () throws(EtcdError) in try rights.check(RangeRequest(key: key, rangeEnd: ByteString([0]))) })
            #expect(refused { () throws(EtcdError) in try rights.check(WatchCreateRequest(key: key, rangeEnd: ByteString([0]))) })
            for previous in [false, true] {
                let allowed = writes && (!previous || reads)
                #expect(refused { () throws(EtcdError) in try rights.check(DeleteRangeRequest(key: key, prevKV: previous)) } == !allowed)
                for (lease, permitted) in [(0 as LeaseID, true), (1, true), (2, false), (3, true), (4, true)] {
                    let put = PutRequest(key: key, lease: lease, prevKV: previous)
                    let found = refused { () throws(EtcdError) in try rights.check(put, keysOfLease: { leases[$0] ?? [] }) }
                    #expect(found == !(allowed && permitted), "\(put)")
                    #expect(refused(TxnRequest(failure: [.put(put)])) == found)
                }
                #expect(refused(TxnRequest(success: [.deleteRange(DeleteRangeRequest(key: key, prevKV: previous))])) == !allowed)
            }
            #expect(refused(TxnRequest(compare: [Compare(key: key)])) == !reads)
            #expect(refused(TxnRequest(compare: [Compare(key: key, rangeEnd: ByteString([0]))])))
            #expect(refused(TxnRequest(failure: [.range(RangeRequest(key: key))])) == !reads)
        }
    }

    @Test("a watch without a key is one of all keys")
    func watchAll() {
        let all = Rights.ranges(PermissionSet([Permission(permType: .read, key: ByteString([0]), rangeEnd: ByteString([0]))]))
        let watch = WatchCreateRequest(rangeEnd: ByteString([0]))
        #expect(refusal { () throws(EtcdError) in try all.check(watch) } == nil)
        #expect(refused { () throws(EtcdError) in try rights.check(watch) })
    }

    @Test("every operation of both branches and of transactions inside counts, at any depth")
    func nested() {
        let allowed: [RequestOp] = [.range(RangeRequest(key: "r")), .put(PutRequest(key: "w")), .empty]
        let denied: [RequestOp] = [.range(RangeRequest(key: "w")), .put(PutRequest(key: "r")), .deleteRange(DeleteRangeRequest(key: "r"))]
        for operation in allowed + denied {
            var transaction = TxnRequest(success: [operation])
            for depth in 0..<6 {
                #expect(refused(transaction) == denied.contains(operation), "at depth \(depth)")
                let inner = RequestOp.txn(transaction)
                transaction = depth % 2 == 0 ? TxnRequest(failure: allowed + [inner]) : TxnRequest(success: [inner] + allowed)
            }
        }
        #expect(refused(TxnRequest(success: [.txn(TxnRequest(compare: [Compare(key: "w")]))])))
    }

    @Test("a refusal is the answer to everything but a request that names no key; root may do all")
    func extremes() {
        let nobody = Rights.refused(.userEmpty)
        #expect(refusal { () throws(EtcdError) in try nobody.check(RangeRequest(key: "r")) } == .userEmpty)
        #expect(refusal { () throws(EtcdError) in try nobody.checkRead(all: ["r"]) } == .userEmpty)
        #expect(refusal { () throws(EtcdError) in try nobody.checkWrite(all: []) } == nil)
        #expect(refusal { () throws(EtcdError) in try nobody.check(TxnRequest(), keysOfLease: { _ in [] }) } == nil)
        #expect(refusal { () throws(EtcdError) in try nobody.check(TxnRequest(success: [.empty]), keysOfLease: { _ in [] }) } == nil)
        let everything = Rights.everything
        let transaction = TxnRequest(success: [.put(PutRequest(key: "x", lease: 2, prevKV: true))])
        #expect(refusal { () throws(EtcdError) in try everything.check(transaction, keysOfLease: { _ in ["x"] }) } == nil)
    }
}
