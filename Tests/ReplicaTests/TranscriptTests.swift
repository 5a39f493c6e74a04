// Replays the transcripts in `Transcripts/` and compares what the replica does with what they say.
//
// With PINE_REWRITE=1 in the environment it writes what the replica does into the files instead: look at the difference before you keep it.
import Foundation
import Testing

@Suite struct TranscriptTests {
    private static let names: [String] = {
        let folder = Bundle.module.url(forResource: "Transcripts", withExtension: nil)?.path ?? ""
        return ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
    }()

    private static let rewrites = ProcessInfo.processInfo.environment["PINE_REWRITE"] == "1"

    @Test("The transcripts are there") func complete() { #expect(Self.names.count >= 6) }

    @Test("The replica does what the transcript says", arguments: names)
    func replay(name: String) throws {
        let file =
            Self.rewrites
            ? URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Transcripts/\(name)")
            : try #require(Bundle.module.url(forResource: "Transcripts", withExtension: nil)).appending(path: name)
        let text = try String(contentsOf: file, encoding: .utf8)
        var transcript = try Transcript(text)
        #expect(transcript.text == text, "\(name) is not in the form of a transcript")
        let start = try #require(transcript.steps.first?.events.first)
        let world = try TranscriptWorld(start)
        // Where a line is wrong, what comes before it is of use.
        defer {
            if Self.rewrites {
                do { try transcript.text.write(to: file, atomically: true, encoding: .utf8) } catch { Issue.record(error) }
            }
        }
        for (index, step) in transcript.steps.enumerated() {
            let place = "\(name):\(step.lineNumber)"
            let actions: [String]
            do {
                actions = try world.run(index == 0 ? step.events.dropFirst() : step.events[...])
            } catch {
                Issue.record("\(place): \(error)")
                return
            }
            if !Self.rewrites, actions != step.actions {
                Issue.record("\(place): not\n\(step.actions.joined(separator: "\n"))\nbut\n\(actions.joined(separator: "\n"))")
                // What comes after a step that went otherwise says little.
                return
            }
            transcript.steps[index].actions = actions
        }
    }
}
