import EtcdAPI
import Keyspace
import Replica
import Testing

@testable import PineServer

@Suite struct ServedMarksTests {
    private let marks = [
        ServedMark(clusterID: -3, position: Position(.max, 7), digest: Digest(rawValue: .min)),
        ServedMark(clusterID: 9, position: Position(1, 0), digest: Digest(rawValue: 5)),
    ]

    @Test("what is written is read again; not so a part of it, or anything else")
    func coding() {
        let text = ServedFile.text(marks)
        #expect(ServedFile.marks(text) == marks)
        #expect(ServedFile.marks(ServedFile.text([])) == [])
        for length in 0..<text.count { #expect(ServedFile.marks(String(text.prefix(length))) == nil) }
        for index in text.indices {
            var damaged = text
            damaged.replaceSubrange(index...index, with: text[index] == "1" ? "2" : "1")
            #expect(ServedFile.marks(damaged) == nil)
        }
        #expect(ServedFile.marks(text + "x") == nil && ServedFile.marks(text + text) == nil)
    }

    @Test("a file remembers so many stores and no more, the newest first")
    func bounded() {
        let many = (0..<100).map { ServedMark(clusterID: $0, position: Position(2, 0), digest: .start) }
        #expect(ServedFile.marks(ServedFile.text(many)) == Array(many.prefix(64)))
    }
}
