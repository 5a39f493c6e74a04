// Owns: the calls of one caller that are more than a question and an answer: which of them never end by themselves, and the flow of each.
// Invariant: a call that is over has no entry.
internal import Calls

struct OpenStreams {
    private struct Entry {
        var flow = StreamFlow()
        /// Whether it goes on until somebody ends it.
        var isEndless = false
        /// Whether each of its messages answers one of its requests.
        var answersRequests = false
    }

    private var entries: [CallID: Entry] = [:]
    /// How many streams there are whose messages answer requests.
    private(set) var answeringCount = 0

    var isEmpty: Bool { entries.isEmpty }

    /// Those that somebody has to end.
    var endless: [CallID] {
        entries.filter(\.value.isEndless).keys.sorted { $0.rawValue < $1.rawValue }
    }

    /// A call goes on until somebody ends it.
    mutating func opened(_ call: CallID, answersRequests: Bool = false) {
        if answersRequests { answeringCount += 1 }
        entries[call] = Entry(isEndless: true, answersRequests: answersRequests)
    }

    /// The call is over. True where it would not have ended by itself.
    @discardableResult
    mutating func closed(_ call: CallID) -> Bool {
        guard !entries.isEmpty, let entry = entries.removeValue(forKey: call) else { return false }
        if entry.answersRequests { answeringCount -= 1 }
        return entry.isEndless
    }

    func isEndless(_ call: CallID) -> Bool { entries[call]?.isEndless ?? false }

    // MARK: Flow

    /// A request came on a stream whose messages answer requests.
    mutating func asked(_ call: CallID) -> StreamFlow.Ask { entries[call]?.flow.asked() ?? .goesOn }

    /// A message was sent. True where the stream's input goes on.
    mutating func sent(_ call: CallID, hasRoom: Bool) -> Bool {
        guard let index = entries.index(forKey: call), entries.values[index].answersRequests else { return false }
        entries.values[index].flow.sent(hasRoom: hasRoom)
        return entries.values[index].flow.answered()
    }

    /// The engine wants to hear once what was sent so far has left. True: it has.
    mutating func reportDue(_ call: CallID, hasRoom: Bool) -> Bool {
        var entry = entries[call] ?? Entry()
        let isDue = entry.flow.reportDue(hasRoom: hasRoom)
        if !isDue { entries[call] = entry }
        return isDue
    }

    /// The client has read everything. Returns how many reports are due.
    mutating func drained(_ call: CallID) -> Int {
        guard let index = entries.index(forKey: call) else { return 0 }
        let reports = entries.values[index].flow.drained()
        if !entries.values[index].isEndless, entries.values[index].flow.isIdle { entries.remove(at: index) }
        return reports
    }
}
