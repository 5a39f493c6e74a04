// Checks that what the writer lays out and streams is read back, for shapes of buckets that end pages in every way.
internal import Bolt
internal import Bytes
internal import Foundation
internal import Testing

typealias Buckets = [(name: String, elements: [(key: ByteString, value: ByteString)])]

/// The file with these buckets, appended in one buffer.
func boltFile(_ buckets: Buckets) -> Data {
    var layout = BoltLayout()
    for bucket in buckets {
        layout.beginBucket(ByteString(bucket.name))
        for (key, value) in bucket.elements { layout.add(keySize: key.count, valueSize: value.count) }
    }
    let size = layout.finish()
    var writer = BoltWriter(layout)
    var out = ByteWriter()
    writer.begin(transaction: 7, into: &out)
    for (key, value) in buckets.flatMap(\.elements) { writer.append(key: key, value: value, into: &out) }
    let isComplete = writer.isComplete
    #expect(isComplete)
    #expect(out.count == size)
    return Data(out.finish())
}

/// A path for one test, with `data` there; `body` gets it.
func withFile<R>(_ data: Data, _ body: (String) throws -> R) throws -> R {
    let path = NSTemporaryDirectory() + "/bolt-\(UUID().uuidString)"
    try data.write(to: URL(fileURLWithPath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(path)
}

/// All that the file says, two levels deep.
func contents(_ path: String) throws -> [String] {
    let file = try BoltFile(path: path)
    var lines: [String] = []
    var names = try BoltCursor(file.root, in: file)
    while let (name, element) = try names.next(in: file) {
        guard case .bucket(let bucket) = element else { continue }
        var cursor = try BoltCursor(bucket, in: file)
        lines.append("\(name)")
        while let (key, element) = try cursor.next(in: file) {
            if case .value(let value) = element { lines.append("\(name) \(key) \(value.count) \(value.hashValue)") }
        }
    }
    return lines
}

@Suite struct BoltWriterTests {
    static func bucket(_ name: String, count: Int, valueSize: (Int) -> Int) -> Buckets.Element {
        (
            name,
            (0..<count).map { n in
                (ByteString(String(format: "%08d", n)), ByteString([UInt8](repeating: UInt8(truncatingIfNeeded: n), count: valueSize(n))))
            }
        )
    }

    @Test("what was written is read: empty buckets, full pages, overflow, branches of three levels")
    func roundTrip() throws {
        let shapes: [Buckets] = [
            [],
            [Self.bucket("a", count: 0) { _ in 0 }],
            [Self.bucket("a", count: 0) { _ in 0 }, Self.bucket("b", count: 1) { _ in 3 }, Self.bucket("c", count: 0) { _ in 0 }],
            [Self.bucket("a", count: 1) { _ in 100_000 }, Self.bucket("b", count: 40) { $0 * 700 }],
            [Self.bucket("a", count: 1) { _ in 4_096 - 16 - 16 - 8 }, Self.bucket("b", count: 2) { _ in 4_096 - 16 - 16 - 8 + 1 }],
            [Self.bucket("key", count: 30_000) { $0 % 4 == 0 ? 5_000 : 3_000 }],
        ]
        for shape in shapes {
            let expected = shape.flatMap { bucket in
                ["\(ByteString(bucket.name))"]
                    + bucket.elements.map { "\(ByteString(bucket.name)) \($0.key) \($0.value.count) \($0.value.hashValue)" }
            }
            #expect(try withFile(boltFile(shape), contents) == expected)
        }
    }
}
