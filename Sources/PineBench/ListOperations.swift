// Owns: lists of the whole key space, in pages or at once, and counts.
internal import Bytes
internal import EtcdAPI

/// Each page is a request; a slot's list goes on at the revision of its first page.
final class ListOperations: Operations {
    let kinds: [String]
    private let keys: KeyNames
    private let keyCount: Int
    private let pageSize: Int?
    private let values: ValueSource
    private var lists: [List]

    private struct List {
        /// The first key of the next page.
        var start = 0
        /// 0 on the first page.
        var revision: Revision = 0
        /// What has come of the answer.
        var answer = RangeView()
        var pieces = PieceScan()
    }

    init(_ plan: BenchPlan, _ share: WorkerShare, pageSize: Int?) {
        kinds = [pageSize.map { "page of \($0)" } ?? "list of \(plan.preloadedKeys)"]
        keys = KeyNames(plan.dataPrefix)
        keyCount = plan.preloadedKeys
        self.pageSize = pageSize
        values = ValueSource(size: plan.valueSize, seed: plan.seed)
        lists = Array(repeating: List(), count: share.slots)
    }

    func next(_ slot: Int, at now: UInt64) -> OutgoingRequest? {
        lists[slot].answer = RangeView()
        lists[slot].pieces = PieceScan()
        let list = lists[slot]
        let request = RangeRequest(
            key: list.start == 0 ? keys.prefix : keys.name(list.start), rangeEnd: keys.prefixEnd,
            limit: Int64(pageSize ?? 0), revision: list.revision)
        return OutgoingRequest(method: .range, kind: 0, message: request.encoded())
    }

    func check(_ slot: Int, _ answer: UnsafeRawBufferPointer) throws(WrongAnswer) -> AnswerRevision {
        lists[slot].answer = RangeView()
        try take(slot, answer)
        return try finish(slot)
    }

    let checksPieces = true

    func check(_ slot: Int, piece: UnsafeRawBufferPointer, isLast: Bool) throws(WrongAnswer) -> AnswerRevision? {
        // Out of the array while it is at work.
        var scan = PieceScan()
        swap(&scan, &lists[slot].pieces)
        defer { swap(&scan, &lists[slot].pieces) }
        try scan.take(piece, isLast: isLast) { fields throws(WrongAnswer) in try take(slot, fields) }
        return isLast ? try finish(slot) : nil
    }

    /// Looks at some of an answer's fields, none of which is cut.
    private func take(_ slot: Int, _ fields: UnsafeRawBufferPointer) throws(WrongAnswer) {
        var answer = lists[slot].answer
        let start = lists[slot].start
        var number = start + answer.kvs
        try answer.take(fields) { kv throws(WrongAnswer) in
            guard keys.number(kv.key) == number else { throw WrongAnswer("a list lacks key \(number)") }
            try values.check(kv.value, number: number)
            number += 1
        }
        lists[slot].answer = answer
    }

    /// The answer is there: is it what was asked for?
    private func finish(_ slot: Int) throws(WrongAnswer) -> AnswerRevision {
        let start = lists[slot].start
        let range = lists[slot].answer
        let end = start + range.kvs
        let expected = min(pageSize ?? keyCount, keyCount - start)
        guard range.kvs == expected, range.count == Int64(keyCount - start), range.more == (end < keyCount) else {
            throw WrongAnswer(
                "a list from key \(start) of \(keyCount) brought \(range.kvs) keys, count \(range.count), more \(range.more)")
        }
        if range.more {
            lists[slot].start = end
            if start == 0 { lists[slot].revision = range.revision }
        } else {
            lists[slot] = List()
        }
        return AnswerRevision(revision: range.revision)
    }
}

final class CountOperations: Operations {
    let kinds = ["count"]
    private let keyCount: Int
    private let message: ByteString

    init(_ plan: BenchPlan) {
        keyCount = plan.preloadedKeys
        let keys = KeyNames(plan.dataPrefix)
        message = RangeRequest(key: keys.prefix, rangeEnd: keys.prefixEnd, countOnly: true).encoded()
    }

    func next(_ slot: Int, at now: UInt64) -> OutgoingRequest? {
        OutgoingRequest(method: .range, kind: 0, message: message)
    }

    func check(_ slot: Int, _ answer: UnsafeRawBufferPointer) throws(WrongAnswer) -> AnswerRevision {
        let range = try RangeView(answer) { _ throws(WrongAnswer) in throw WrongAnswer("a count brought a key") }
        guard range.count == Int64(keyCount) else { throw WrongAnswer("a count of \(range.count) instead of \(keyCount)") }
        return AnswerRevision(revision: range.revision)
    }
}
