// Owns: which long answers to ranges are being made or are still on their way to a client, so that who asks the same of the same
// store gets the same bytes: a hundred controllers that list at once cost one scan, and memory for one answer.
// Must never: keep an answer alive. Once the last client has taken it, it is gone.
// Invariant: an answer is given out only where the store, the question and the header are those that it was made for.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

/// What an answer to a range depends on.
struct RangeQuestion: Equatable {
    private let request: RangeRequest
    private let header: ResponseHeader
    private let position: Position
    private let digest: Digest

    /// Nil where it would take more memory to remember the question than that is worth.
    init?(_ request: RangeRequest, header: ResponseHeader, position: Position, digest: Digest) {
        guard request.key.count + request.rangeEnd.count <= Self.keyByteLimit else { return nil }
        var request = request
        // Says how the answer is come by, not what it is.
        request.serializable = false
        self.request = request
        self.header = header
        self.position = position
        self.digest = digest
    }

    private static let keyByteLimit = 1_024
}

struct LongAnswers {
    private struct Entry {
        let question: RangeQuestion
        weak var storage: ByteStorage?
        let offset: Int
        let count: Int
    }

    private var entries: [Entry] = []

    /// Answers from this size on are noted, in bytes: shorter ones are made as quickly as found.
    static let smallest = 64 << 10
    /// How many answers are known at once. The oldest is forgotten first.
    static let entryLimit = 8

    /// The answer to `question`, where somebody still holds it.
    func find(_ question: RangeQuestion) -> ByteString? {
        for entry in entries where entry.question == question {
            if let storage = entry.storage { return ByteString(sharing: storage, from: entry.offset, count: entry.count) }
        }
        return nil
    }

    /// Notes an answer that is about to be sent.
    mutating func note(_ answer: ByteString, to question: RangeQuestion) {
        guard answer.count >= Self.smallest, let storage = answer.sharedStorage else { return }
        entries.removeAll { $0.storage == nil || $0.question == question }
        if entries.count >= Self.entryLimit { entries.removeFirst() }
        entries.append(Entry(question: question, storage: storage, offset: answer.sharedOffset, count: answer.count))
    }
}
