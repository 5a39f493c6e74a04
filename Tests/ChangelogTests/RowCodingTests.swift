import Bytes
import EtcdAPI
import Keyspace
import Replica
import Testing

@testable import Changelog

@Suite struct RowCodingTests {
    /// The same parameters, element by element.
    private func naive(_ batch: AppendBatch) -> Parameters {
        .build { writer in
            writer.add(batch.newHead.position.revision)
            writer.add(batch.newHead.position.sub)
            writer.add(batch.newHead.digest.rawValue)
            writer.add(batch.newHead.compactRevision)
            writer.add(batch.expectedDigest.rawValue)
            writer.add(batch.expectedEpoch)
            func column<I: FixedWidthInteger>(_ type: UInt32, _ field: (LogRow) -> I) {
                writer.array(of: type, batch.rows) { $0.element(field($1)) }
            }
            func column(_ field: (LogRow) -> ByteString) {
                writer.array(of: TypeID.bytea, batch.rows) { $0.element(field($1)) }
            }
            column(TypeID.int8, \.position.revision.rawValue)
            column(TypeID.int4, \.position.sub)
            column(TypeID.int2, \.kind.rawValue)
            column(\.key)
            column(\.value)
            column(TypeID.int8, \.createRevision.rawValue)
            column(TypeID.int8, \.version)
            column(TypeID.int8, \.lease.rawValue)
            column(TypeID.int8, \.origin)
            let isHashed = batch.rows.allSatisfy(\.hash.isKnown)
            writer.array(of: TypeID.int8, isHashed ? batch.rows : []) { $0.element($1.hash.rawValue) }
            writer.add(batch.rows.reduce(RowHash.zero) { isHashed ? $0 + $1.hash : $0 }.rawValue)
        }
    }

    @Test("a batch laid out in one pass has the bytes of one written element by element", arguments: [1, 2, 3, 50], [false, true])
    func append(count: Int, isKeyed: Bool) {
        let head = Head(clusterID: 1, position: Position(5, 1), digest: .start, epoch: 3, compactRevision: -1)
        var writer = Writer(head: head, origin: -9, key: isKeyed ? DigestKey(1, 2) : nil)
        for size in [0, 1, 7, 300] {
            var batch = writer.batch(count: count, valueSize: size)
            batch.rows[0].key = ByteString()
            #expect(Parameters.append(batch).bytes == naive(batch).bytes)
            #expect(Parameters.append(batch).ends == naive(batch).ends)
        }
    }

    @Test("an array is written as PostgreSQL sends it")
    func goldenArray() {
        let parameters = Parameters.positions([Position(2, 1)])
        #expect(
            Array(parameters.bytes) == [
                0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2,
                0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1,
            ])
        #expect(parameters.ends == [32, 60])
    }
}
