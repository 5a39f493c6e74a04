// Replays the fuzzer's seeds and what it once found.
internal import Bytes
internal import Foundation
internal import Testing

@Suite struct CorpusTests {
    @Test("every seed of the fuzzer round trips or is refused")
    func replay() throws {
        let folder = try #require(Bundle.module.url(forResource: "Corpus", withExtension: nil))
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        #expect(files.count >= 40)
        for file in files {
            let failure = try Data(contentsOf: file).withUnsafeBytes { roundTripFailure($0) }
            if let failure { Issue.record("\(file.lastPathComponent): \(failure)") }
        }
    }
}
