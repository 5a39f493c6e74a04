// Checks that what the server writes without message structs is what the structs would write.
internal import Bytes
internal import EtcdAPI
internal import Testing

@Suite struct AnswersTests {
    static let numbers: [Int64] = [0, 1, 127, 128, 16_383, 16_384, 1 << 40, .max, .min, -1]
    static let sizes = [0, 1, 2, 126, 127, 128, 129, 600, 16_383, 16_384, 70_000]

    private func written(_ write: (inout ByteWriter) -> Void) -> ByteString {
        var writer = ByteWriter(capacity: 16)
        write(&writer)
        return writer.finish()
    }

    private func text(_ size: Int, _ byte: UInt8 = 0x61) -> ByteString { ByteString(Array(repeating: byte, count: size)) }

    @Test("headers with every combination of zero, small and largest fields")
    func headers() {
        for cluster in [0, 1, .max] as [UInt64] {
            for member in [0, 300, .max] as [UInt64] {
                for revision in [0, 7, -1] as [Revision] {
                    for term in [0, 2, .max] as [UInt64] {
                        let header = ResponseHeader(clusterID: cluster, memberID: member, revision: revision, raftTerm: term)
                        #expect(written { $0.appendHeader(header) } == PutResponse(header: header).encoded())
                    }
                }
            }
        }
    }

    @Test("keys with values of every size of number and length")
    func keyValues() {
        for field in [2, 3, 15] {
            func check(_ kv: KeyValue) {
                let expected = RawWire().data(UInt64(field), Array(kv.encoded())).byteString
                #expect(written { $0.appendKeyValue(field, kv) } == expected)
            }
            for number in Self.numbers {
                check(KeyValue(key: "k", createRevision: Revision(number), modRevision: 2, version: 1, value: "v"))
                check(KeyValue(key: "k", createRevision: 2, modRevision: Revision(number), version: 1, value: "v"))
                check(KeyValue(key: "k", createRevision: 2, modRevision: 2, version: number, value: "v"))
                check(KeyValue(key: "k", createRevision: 2, modRevision: 2, version: 1, value: "v", lease: LeaseID(number)))
                check(
                    KeyValue(
                        key: "k", createRevision: Revision(number), modRevision: Revision(number), version: number, value: "v",
                        lease: LeaseID(number)))
            }
            for size in Self.sizes {
                check(KeyValue(key: text(size), modRevision: 1))
                check(KeyValue(key: "k", modRevision: 1, value: text(size)))
                check(KeyValue(key: text(size), modRevision: 1, value: text(size)))
            }
        }
    }

    @Test("a range's answer, whole and as a piece of a stream")
    func ranges() {
        let header = ResponseHeader(clusterID: 5, memberID: 6, revision: 7, raftTerm: 8)
        for count in [0, 1, 2, 50] {
            for more in [false, true] {
                let kvs = (0..<count).map {
                    KeyValue(key: text($0 + 1), createRevision: 2, modRevision: 3, version: 1, value: text($0 * 7))
                }
                let response = RangeResponse(header: header, kvs: kvs, more: more, count: Int64(count))
                func write(_ writer: inout ByteWriter) {
                    writer.appendHeader(header)
                    for kv in kvs { writer.appendKeyValue(2, kv) }
                    writer.appendRangeTail(more: more, count: Int64(count))
                }
                #expect(written(write) == response.encoded())
                let streamed = written { writer in
                    let piece = writer.beginMessage(1)
                    write(&writer)
                    writer.endMessage(piece)
                }
                #expect(streamed == RangeStreamResponse(rangeResponse: response).encoded())
            }
        }
    }

    @Test("puts and deletions, with and without previous states")
    func writes() {
        let header = ResponseHeader(clusterID: 5, revision: 7)
        let previous = KeyValue(key: "k", createRevision: 2, modRevision: 3, version: 1, value: text(300), lease: 9)
        #expect(written { $0.appendPutResponse(header) } == PutResponse(header: header).encoded())
        let put = written { writer in
            writer.appendPutResponse(header)
            writer.appendKeyValue(2, previous)
        }
        #expect(put == PutResponse(header: header, prevKV: previous).encoded())
        for count in 0...3 {
            let previous = Array(repeating: previous, count: count)
            let deletion = written { writer in
                writer.appendDeleteRangeHead(header, deleted: Int64(count))
                for kv in previous { writer.appendKeyValue(3, kv) }
            }
            #expect(deletion == DeleteRangeResponse(header: header, deleted: Int64(count), prevKVs: previous).encoded())
        }
    }

    @Test("a transaction's answer with every kind of response, nested, small and large")
    func transactions() {
        let header = ResponseHeader(clusterID: 5, revision: 7)
        let inner = ResponseHeader(revision: 7)
        for size in Self.sizes {
            let kv = KeyValue(key: "k", createRevision: 2, modRevision: 3, version: 1, value: text(size))
            let response = TxnResponse(
                header: header, succeeded: true,
                responses: [
                    .range(RangeResponse(header: inner, kvs: [kv, kv], more: true, count: 3)),
                    .put(PutResponse(header: inner, prevKV: kv)),
                    .deleteRange(DeleteRangeResponse(header: inner, deleted: 2, prevKVs: [kv])),
                    .txn(TxnResponse(header: inner, responses: [.put(PutResponse(header: inner))])),
                ])
            let bytes = written { writer in
                writer.appendTxnHead(header, succeeded: true)
                var op = writer.beginResponseOp(.range)
                writer.appendHeader(inner)
                writer.appendKeyValue(2, kv)
                writer.appendKeyValue(2, kv)
                writer.appendRangeTail(more: true, count: 3)
                writer.endResponseOp(op)
                op = writer.beginResponseOp(.put)
                writer.appendPutResponse(inner)
                writer.appendKeyValue(2, kv)
                writer.endResponseOp(op)
                op = writer.beginResponseOp(.deleteRange)
                writer.appendDeleteRangeHead(inner, deleted: 2)
                writer.appendKeyValue(3, kv)
                writer.endResponseOp(op)
                op = writer.beginResponseOp(.txn)
                writer.appendTxnHead(inner, succeeded: false)
                let nested = writer.beginResponseOp(.put)
                writer.appendPutResponse(inner)
                writer.endResponseOp(nested)
                writer.endResponseOp(op)
            }
            #expect(bytes == response.encoded())
        }
    }

    @Test("events and watch responses; an event's bytes can be written elsewhere and copied in")
    func watches() {
        let header = ResponseHeader(clusterID: 5, revision: 7)
        for size in Self.sizes {
            let kv = KeyValue(key: "k", createRevision: 2, modRevision: 3, version: 1, value: text(size))
            let events = [
                Event(kv: kv), Event(kv: kv, prevKV: kv),
                Event(type: .delete, kv: KeyValue(key: "k", modRevision: 7), prevKV: kv),
                Event(type: .delete, kv: KeyValue(key: "k", modRevision: 7)),
            ]
            let once = written { writer in
                for event in events { writer.appendEvent(event.type, kv: event.kv!, prevKV: event.prevKV) }
            }
            let bytes = written { writer in
                writer.appendWatchHead(header, watchID: 4, fragment: true)
                writer.append(once)
            }
            #expect(bytes == WatchResponse(header: header, watchID: 4, fragment: true, events: events).encoded())
        }
        let canceled = written {
            $0.appendWatchHead(header, watchID: -1, created: true, canceled: true, compactRevision: 5, cancelReason: "no")
        }
        let expected = WatchResponse(
            header: header, watchID: -1, created: true, canceled: true, compactRevision: 5, cancelReason: "no")
        #expect(canceled == expected.encoded())
    }

    @Test("keep-alive answers")
    func keepAlives() {
        for number in Self.numbers {
            let header = ResponseHeader(revision: Revision(number))
            let expected = LeaseKeepAliveResponse(header: header, id: LeaseID(number), ttl: number).encoded()
            #expect(written { $0.appendKeepAliveResponse(header, id: LeaseID(number), ttl: number) } == expected)
        }
    }
}
