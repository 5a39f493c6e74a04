// Checks the codes and texts that clients recognise, and the method table.
internal import Bytes
internal import EtcdAPI
internal import Testing

@Suite struct EtcdErrorTests {
    @Test("errors that etcd was seen to answer")
    func recorded() {
        let recorded: [(UInt8, String, EtcdError)] = [
            (2, "auth: authentication failed, password was given for no password user", .noPasswordUser),
            (2, "bcrypt: password length exceeds 72 bytes", .passwordTooLong),
            (3, "etcdserver: authentication failed, invalid user ID or password", .authFailed),
            (3, "etcdserver: duplicate key given in txn request", .duplicateKey),
            (3, "etcdserver: invalid auth management", .invalidAuthManagement),
            (3, "etcdserver: invalid sort option", .invalidSortOption),
            (3, "etcdserver: key is not provided", .emptyKey),
            (3, "etcdserver: key not found", .keyNotFound),
            (3, "etcdserver: lease is provided", .leaseProvided),
            (3, "etcdserver: permission not given", .permissionNotGiven),
            (3, "etcdserver: role name is empty", .roleEmpty),
            (3, "etcdserver: user name is empty", .userEmpty),
            (3, "etcdserver: value is provided", .valueProvided),
            (5, "etcdserver: requested lease not found", .leaseNotFound),
            (7, "etcdserver: permission denied", .permissionDenied),
            (9, "etcdserver: authentication is not enabled", .authNotEnabled),
            (9, "etcdserver: lease already exists", .leaseExist),
            (9, "etcdserver: permission is not granted to the role", .permissionNotGranted),
            (9, "etcdserver: role is not granted to the user", .roleNotGranted),
            (9, "etcdserver: role name already exists", .roleAlreadyExist),
            (9, "etcdserver: role name not found", .roleNotFound),
            (9, "etcdserver: root user does not exist", .rootUserNotExist),
            (9, "etcdserver: root user does not have root role", .rootRoleNotExist),
            (9, "etcdserver: user name already exists", .userAlreadyExist),
            (9, "etcdserver: user name not found", .userNotFound),
            (11, "etcdserver: mvcc: required revision has been compacted", .compacted),
            (11, "etcdserver: mvcc: required revision is a future revision", .futureRev),
            (11, "etcdserver: too large lease TTL", .leaseTTLTooLarge),
            (12, "RangeStream does not support custom sort orders", .rangeStreamSortOrder),
            (12, "RangeStream does not support revision filters", .rangeStreamRevisionFilters),
            (16, "etcdserver: invalid auth token", .invalidAuthToken),
        ]
        for (code, text, error) in recorded {
            #expect(error.code.rawValue == code)
            #expect(error.text == text)
        }
    }

    @Test("errors that a recording cannot show")
    func others() {
        #expect(EtcdError.tooManyOps == EtcdError(code: .invalidArgument, text: "etcdserver: too many operations in txn request"))
        #expect(EtcdError.requestTooLarge == EtcdError(code: .invalidArgument, text: "etcdserver: request is too large"))
        #expect(EtcdError.tooManyRequests == EtcdError(code: .resourceExhausted, text: "etcdserver: too many requests"))
        #expect(EtcdError.noSpace == EtcdError(code: .resourceExhausted, text: "etcdserver: mvcc: database space exceeded"))
        #expect(EtcdError.authOldRevision == EtcdError(code: .invalidArgument, text: "etcdserver: revision of auth store is old"))
        #expect(EtcdError.timeout == EtcdError(code: .unavailable, text: "etcdserver: request timed out"))
        #expect(EtcdError.stopped == EtcdError(code: .unavailable, text: "etcdserver: server stopped"))
        #expect(EtcdError.notCapable == EtcdError(code: .failedPrecondition, text: "etcdserver: not capable"))
        #expect("\(EtcdError.timeout)" == "unavailable: etcdserver: request timed out")
    }
}

@Suite struct EtcdMethodTests {
    @Test("paths lead back to their methods, anything else to none")
    func paths() {
        for method in EtcdMethod.allCases {
            #expect(EtcdMethod(path: ByteString(method.path)) == method)
            #expect(EtcdMethod(path: ByteString(method.path + "x")) == nil)
            #expect(EtcdMethod(path: ByteString(method.path.dropLast())) == nil)
        }
        #expect(EtcdMethod(path: "") == nil)
    }
}

@Suite struct CompareTests {
    @Test("the operand is the union's member only where the target names it")
    func operands() {
        let unions: [Compare.TargetUnion] = [
            .none, .version(7), .createRevision(7), .modRevision(7), .value("v"), .lease(7),
        ]
        let members: [Compare.CompareTarget: Compare.TargetUnion] = [
            .version: .version(7), .create: .createRevision(7), .mod: .modRevision(7), .lease: .lease(7),
        ]
        for union in unions {
            for target in (-1...6).map(Compare.CompareTarget.init(rawValue:)) {
                let compare = Compare(target: target, key: "k", targetUnion: union)
                #expect(compare.numberOperand == (members[target] == union ? 7 : 0))
                #expect(compare.valueOperand == (union == .value("v") ? "v" : ""))
            }
        }
    }

    @Test("a union member that is zero or empty is written and remembered; the last one set wins")
    func unions() throws {
        let unions: [Compare.TargetUnion] = [
            .none, .version(0), .createRevision(0), .modRevision(0), .value(""), .lease(0), .version(-1), .value("v"),
        ]
        for union in unions {
            let compare = Compare(targetUnion: union)
            #expect(try Compare.decode(compare.encoded()) == compare)
            for later in unions where later != .none {
                let both = ByteString(Array(compare.encoded()) + Array(Compare(targetUnion: later).encoded()))
                #expect(try Compare.decode(both).targetUnion == later)
            }
        }
    }
}

@Suite struct UnionTests {
    @Test("the same member again merges, another one replaces")
    func requestOps() throws {
        let put = RawWire().message(2, RawWire().text(1, "k"))
        let more = RawWire().message(2, RawWire().text(2, "v"))
        let range = RawWire().message(1, RawWire().text(1, "r"))
        func decoded(_ pieces: RawWire...) throws -> RequestOp {
            try RequestOp.decode(ByteString(pieces.flatMap(\.bytes)))
        }
        #expect(try decoded(put, more) == .put(PutRequest(key: "k", value: "v")))
        #expect(try decoded(put, range, more) == .put(PutRequest(value: "v")))
        #expect(try decoded(put, range) == .range(RangeRequest(key: "r")))
        #expect(try decoded() == .empty)
        let limit = RawWire().message(1, RawWire().number(3, 5))
        #expect(try decoded(range, limit) == .range(RangeRequest(key: "r", limit: 5)))
        let delete = RawWire().message(3, RawWire().text(1, "d"))
        let end = RawWire().message(3, RawWire().text(2, "e"))
        #expect(try decoded(delete, end) == .deleteRange(DeleteRangeRequest(key: "d", rangeEnd: "e")))
    }

    @Test("watch requests merge and replace alike")
    func watchRequests() throws {
        let create = RawWire().message(1, RawWire().text(1, "k").number(5, 1))
        let more = RawWire().message(1, RawWire().number(5, 0))
        let cancel = RawWire().message(2, RawWire().number(1, 4))
        let progress = RawWire().message(3, RawWire())
        func decoded(_ pieces: RawWire...) throws -> WatchRequest {
            try WatchRequest.decode(ByteString(pieces.flatMap(\.bytes)))
        }
        #expect(try decoded(create, more) == .create(WatchCreateRequest(key: "k", filters: [.noDelete, .noPut])))
        #expect(try decoded(create, cancel) == .cancel(WatchCancelRequest(watchID: 4)))
        #expect(try decoded(cancel, progress) == .progress(WatchProgressRequest()))
        #expect(try decoded(progress, progress) == .progress(WatchProgressRequest()))
        #expect(try decoded() == .empty)
    }

    @Test("responses merge and replace alike")
    func responseOps() throws {
        func decoded(_ responses: ResponseOp...) throws -> ResponseOp {
            try ResponseOp.decode(ByteString(responses.flatMap { Array($0.encoded()) }))
        }
        let a = KeyValue(key: "a")
        let b = KeyValue(key: "b")
        #expect(
            try decoded(.range(RangeResponse(kvs: [a])), .range(RangeResponse(kvs: [b], count: 2)))
                == .range(RangeResponse(kvs: [a, b], count: 2)))
        #expect(
            try decoded(.put(PutResponse(prevKV: a)), .put(PutResponse(header: ResponseHeader())))
                == .put(PutResponse(header: ResponseHeader(), prevKV: a)))
        #expect(
            try decoded(.deleteRange(DeleteRangeResponse(prevKVs: [a])), .deleteRange(DeleteRangeResponse(prevKVs: [b])))
                == .deleteRange(DeleteRangeResponse(prevKVs: [a, b])))
        #expect(
            try decoded(.txn(TxnResponse(responses: [.empty])), .txn(TxnResponse(succeeded: true)))
                == .txn(TxnResponse(succeeded: true, responses: [.empty])))
        #expect(try decoded(.txn(TxnResponse()), .put(PutResponse())) == .put(PutResponse()))
    }
}
