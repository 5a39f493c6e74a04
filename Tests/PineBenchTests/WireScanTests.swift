// Owns: checks of how the load generator reads answers.
import Bytes
import EtcdAPI
import Testing

@testable import PineBench

@Suite("Reading answers in place")
struct WireScanTests {
    private let kv = KeyValue(key: "name", createRevision: 3, modRevision: 300, version: 2, value: "text", lease: 9)

    @Test("A range's answer is read as the codec wrote it")
    func range() throws {
        let answer = RangeResponse(header: ResponseHeader(revision: 70_000), kvs: [kv, kv], more: true, count: 5).encoded()
        var seen = 0
        let view = try answer.withUnsafeBytes { bytes in
            try RangeView(bytes) { kv throws(WrongAnswer) in
                seen += 1
                #expect(kv.key.elementsEqual("name".utf8) && kv.value.elementsEqual("text".utf8))
                #expect(kv.modRevision == 300 && kv.version == 2)
            }
        }
        #expect(seen == 2 && view.kvs == 2 && view.more && view.count == 5 && view.revision == 70_000)
    }

    @Test("A transaction's answer is read as the codec wrote it")
    func transaction() throws {
        let answer = TxnResponse(
            header: ResponseHeader(revision: 8), succeeded: true,
            responses: [.deleteRange(DeleteRangeResponse(header: ResponseHeader(revision: 8), deleted: 1))]
        ).encoded()
        #expect(try answer.withUnsafeBytes { try ObjectTransaction.check($0, .deleteRange) } == 8)
        #expect(throws: WrongAnswer.self) { try answer.withUnsafeBytes { try ObjectTransaction.check($0, .put) } }
    }

    @Test("Nothing that a server sends traps, however it is cut or changed")
    func noise() {
        let answer = RangeResponse(header: ResponseHeader(revision: 70_000), kvs: [kv, kv], more: true, count: 5).encoded()
        var random = SplitMix64(seed: 1)
        func read(_ bytes: [UInt8]) {
            bytes.withUnsafeBytes { bytes in
                _ = try? RangeView(bytes) { _ throws(WrongAnswer) in }
                _ = try? TxnView(bytes)
                _ = try? putRevision(bytes)
            }
        }
        for count in 0...answer.count { read(Array(answer.prefix(count))) }
        for _ in 0..<20_000 {
            var bytes = Array(answer)
            for _ in 0..<3 { bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next()) }
            read(bytes)
        }
    }

    @Test("Keys and values are recognised, and no others")
    func keysAndValues() throws {
        let keys = KeyNames("/p/")
        #expect(keys.name(42) == "/p/0000000042")
        #expect(keys.name(42).withUnsafeBytes { keys.number($0) } == 42)
        for other in ["/p/000000004x", "/q/0000000042", "/p/42", ""] as [ByteString] {
            #expect(other.withUnsafeBytes { keys.number($0) } == nil)
        }
        var values = ValueSource(size: 100, seed: 7)
        var writer = ByteWriter()
        values.append(to: &writer, field: 2, number: 42, sentAt: 123)
        let put = try PutRequest.decode(writer.finish())
        try put.value.withUnsafeBytes { try values.check($0, number: 42) }
        #expect(put.value.withUnsafeBytes { ValueSource.sentAt($0) } == 123)
        #expect(throws: WrongAnswer.self) { try put.value.withUnsafeBytes { try values.check($0, number: 43) } }
        let short = put.value.slice(0..<99)
        #expect(throws: WrongAnswer.self) { try short.withUnsafeBytes { try values.check($0, number: 42) } }
    }
}
