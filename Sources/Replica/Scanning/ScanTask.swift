// Owns: one long answer under way, and those who ask for the same one.
// Must never: be in two lists of scans.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

/// A long answer under way: that of a range, or of a transaction. A class, since the writer that grows inside can't be moved about in an
/// array.
final class ScanTask {
    let id: CallID
    /// Where it begins anew if the values that it wants are gone; nil for the answer of a write.
    let read: PendingRead?
    /// What it answers, for others that ask the same.
    let question: RangeQuestion?
    /// What it is about, for the log.
    let key: ByteString
    let arrivedAt: Instant
    let startedAt: Instant
    let answer: AnswerBuilder

    init(
        id: CallID, read: PendingRead?, question: RangeQuestion?, key: ByteString, arrivedAt: Instant, startedAt: Instant,
        answer: AnswerBuilder
    ) {
        self.id = id
        self.read = read
        self.question = question
        self.key = key
        self.arrivedAt = arrivedAt
        self.startedAt = startedAt
        self.answer = answer
    }

    /// The revision that must stay readable.
    var revision: Revision { answer.oldestRevision }
}

/// A long Range that asks what a scan under way is about to answer. It looks again each turn: for the answer, or for what else there
/// is to do where that scan was cancelled.
struct ScanFollower {
    let read: PendingRead
    let request: RangeRequest
    let since: Instant
}
