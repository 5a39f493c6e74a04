// Owns: what a turn of a process has done, and what is too much for one turn.
internal import Bytes
internal import Calls
internal import Keyspace
internal import Replica

/// What a turn has done.
struct TurnWork {
    /// Keys that were looked at in walks over ranges, and in sorting.
    var visitedKeys = 0
    var madeRows = 0
    /// Of the newest revision, whether they were sent or not.
    var executedRows = 0
    var foldedRows = 0
    var answerBytes = 0
    /// The same without answers that share the bytes of one that was made before, which cost nothing to make.
    var madeAnswerBytes = 0
    /// Of `answerBytes`, for clients that had given up before the turn began.
    var wastedBytes = 0
    private var made: Set<Place> = []

    /// Where bytes are in memory: those of an answer that was made for another are not made again.
    private struct Place: Hashable {
        var storage: ObjectIdentifier
        var offset: Int
        var count: Int
    }

    mutating func noteAnswer(_ parts: [ByteString]) {
        for part in parts {
            answerBytes += part.count
            guard let storage = part.sharedStorage else { continue }
            let place = Place(storage: ObjectIdentifier(storage), offset: part.sharedOffset, count: part.count)
            if made.insert(place).inserted { madeAnswerBytes += part.count }
        }
    }
}

extension Heaviness {
    /// What is wrong with a turn, if anything.
    func mistake(in turn: TurnWork) -> String? {
        // A revision of another process's is folded as a whole.
        if traits.contains(.revokes), turn.foldedRows == 0, turn.executedRows > executedRowLimit {
            return "a turn executed \(turn.executedRows) rows of one revision, where \(executedRowLimit) are a turn's"
        }
        if !traits.isDisjoint(with: [.reads, .writeTxns]), turn.visitedKeys > visitedKeyLimit(rows: turn.madeRows) {
            return "a turn that made \(turn.madeRows) rows looked at \(turn.visitedKeys) keys, where \(scanKeyLimit) are one step of a scan"
        }
        guard traits.contains(.abandoned) else { return nil }
        if turn.wastedBytes > wastedByteLimit { return "a turn made \(turn.wastedBytes) bytes of answers for clients that had given up" }
        if turn.madeAnswerBytes > turnAnswerByteLimit { return "a turn made \(turn.madeAnswerBytes) bytes of answers" }
        return nil
    }
}
