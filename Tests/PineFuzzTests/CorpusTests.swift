// Replays the fuzzer's seeds against the whole server, and what it once found.
internal import Foundation
internal import PineFuzz
internal import Testing

@Suite("The fuzzer's seeds, against the whole server")
struct ServerCorpusTests {
    @Test("whatever a client sends, the server neither traps nor keeps anything of it")
    func replay() throws {
        let folder = try #require(Bundle.module.url(forResource: "Corpus", withExtension: nil))
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        #expect(files.count >= 10)
        for file in files { try Data(contentsOf: file).withUnsafeBytes { play($0) } }
    }
}
