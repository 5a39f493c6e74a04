// Owns: the form of a transcript file: steps of lines that say what happens, `----`, and lines that say what the replica does then, up to
// an empty line. Comments begin with `#`. The form is that of etcd-io/raft's testdata (github.com/cockroachdb/datadriven).
// Invariant: a file that is parsed and written again is the same.

struct Transcript {
    struct Step {
        /// Comments and empty lines before the step.
        var preamble: [String] = []
        /// The number of its first line, from 1.
        var lineNumber = 0
        /// What happens, all in one turn.
        var events: [String] = []
        /// What the replica does, as the file says.
        var actions: [String] = []
    }

    var steps: [Step] = []
    /// Comments after the last step.
    var ending: [String] = []

    init(_ text: String) throws(TranscriptError) {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)[...]
        // The newline that ends the last line.
        if lines.last == "" { lines.removeLast() }
        var preamble: [String] = []
        while let line = lines.first {
            if line.isEmpty || line.hasPrefix("#") {
                preamble.append(line)
                lines.removeFirst()
                continue
            }
            var step = Step(preamble: preamble, lineNumber: lines.startIndex + 1)
            preamble = []
            step.events = Array(lines.prefix { !$0.isEmpty && $0 != separator })
            lines.removeFirst(step.events.count)
            guard lines.first == separator else { throw TranscriptError("line \(step.lineNumber): `\(separator)` does not follow") }
            lines.removeFirst()
            step.actions = Array(lines.prefix { !$0.isEmpty })
            lines.removeFirst(step.actions.count)
            steps.append(step)
        }
        ending = preamble
    }

    var text: String {
        var lines = steps.flatMap { $0.preamble + $0.events + [separator] + $0.actions }
        lines += ending
        return lines.joined(separator: "\n") + "\n"
    }
}

private let separator = "----"

/// What is wrong with a transcript.
struct TranscriptError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// A line of a step: a verb and its words, some of which are options as in `ttl=10`.
struct TranscriptLine {
    let text: String
    let verb: String
    private var words: ArraySlice<String>

    init(_ text: String) {
        self.text = text
        let all = text.split(separator: " ").map(String.init)
        verb = all.first ?? ""
        words = all.dropFirst()
    }

    /// The next word.
    mutating func word() throws(TranscriptError) -> String {
        guard let word = words.popFirst() else { throw TranscriptError("`\(text)` ends too early") }
        return word
    }

    mutating func number() throws(TranscriptError) -> Int64 { try number(word()) }

    /// The next word, where it is `KEY=VALUE`.
    mutating func pair() throws(TranscriptError) -> (key: String, value: String) {
        let word = try word()
        guard let pair = split(word) else { throw TranscriptError("`\(word)` of `\(text)` is no pair") }
        return pair
    }

    /// The words `name=value` that are left, of which there may be none.
    mutating func takeOptions() throws(TranscriptError) -> [(name: String, value: Int64)] {
        var options: [(name: String, value: Int64)] = []
        while !words.isEmpty {
            let pair = try pair()
            options.append((pair.key, try number(pair.value)))
        }
        return options
    }

    /// The value of the only option that there may be.
    mutating func option(_ name: String) throws(TranscriptError) -> Int64? {
        let options = try takeOptions()
        guard options.allSatisfy({ $0.name == name }) else { throw TranscriptError("`\(text)` has options other than `\(name)`") }
        return options.first?.value
    }

    /// Nothing may be left.
    func end() throws(TranscriptError) {
        guard words.isEmpty else { throw TranscriptError("`\(words.joined(separator: " "))` of `\(text)` is not understood") }
    }

    private func number(_ word: String) throws(TranscriptError) -> Int64 {
        guard let number = Int64(word) else { throw TranscriptError("`\(word)` of `\(text)` is no number") }
        return number
    }

    private func split(_ word: String) -> (key: String, value: String)? {
        guard let sign = word.firstIndex(of: "=") else { return nil }
        return (String(word[..<sign]), String(word[word.index(after: sign)...]))
    }
}
