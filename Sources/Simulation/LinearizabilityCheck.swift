// Owns: whether a history of calls could have come from one store that did them one after the other.
// Source: Wing and Gong, "Testing and Verifying Concurrent Objects" (1993); the memory of what was tried already is from Lowe,
// "Testing for Linearizability" (2017).
//
// Where the log is at hand the order must be the log's: each call that changes something must change what the log has next, and in
// the end nothing is left in the log that nobody asked for. That is more than linearizability asks, and it is what makes the search
// short: of all the calls whose outcome nobody knows, only those come into question that made the next row. Whether an answer fits
// is for the model alone to say.
internal import EtcdAPI
package import Keyspace

package enum Verdict: Sendable, Hashable {
    case linearizable
    /// What was tried in vain, at the furthest point that was reached.
    case notLinearizable(String)
    /// The search was given up.
    case undecided(String)
}

/// The search for an order.
package struct LinearizabilityCheck {
    /// A call that may come next, and what the store is after it.
    private struct Choice {
        var index: Int
        var store: ModelStore
    }

    /// A point of the search: the calls that are placed, and what the store is then.
    private struct Frame {
        var store: ModelStore
        /// The calls that may come next, the likeliest last.
        var choices: [Choice]
        /// Whether calls without an answer are among them, or need not be tried.
        var isComplete: Bool
        /// What was placed to come here.
        var placed: Int?
    }

    /// Why a call could not come next.
    private struct Mistake {
        enum Reason {
            case passedBy
            case isNotTheLogs
            case wouldSay(ModelAnswer)
        }

        var revision: Revision
        var operation: Operation
        var reason: Reason

        var text: String {
            let why =
                switch reason {
                case .passedBy: "it has been passed by"
                case .isNotTheLogs: "the log has something else next"
                case .wouldSay(let answer): "would say \(answer)"
                }
            return "  at revision \(revision), \(operation)\n    \(why)"
        }
    }

    private struct Key: Hashable {
        var placed: UInt64
        var store: UInt64
    }

    private let operations: [Operation]
    /// Those whose end is known, in the order of their beginnings; and the others.
    private let known: [Int]
    private let open: [Int]
    private let stepLimit: Int

    /// Where each call is in `known`; past its end for the others.
    private let place: [Int]

    /// What the store is after each row of the log, and after the last.
    private var logStates: Set<UInt64>?
    private var logEnd: UInt64?

    private var isPlaced: [Bool]
    private var placedCount = 0
    /// A sum of scrambled numbers: the same for the same set, whatever the order.
    private var placedSum: UInt64 = 0
    /// All known calls before this one are placed, in `known`.
    private var firstLeft = 0
    private var seen: Set<Key> = []
    private var steps = 0

    private var furthest = -1
    private var mistakes: [Mistake] = []

    package init(_ operations: [Operation], stepLimit: Int = 5_000_000) {
        self.operations = operations
        self.stepLimit = stepLimit
        let indices = operations.indices.sorted { operations[$0].began < operations[$1].began }
        known = indices.filter { operations[$0].answer != nil }
        open = indices.filter { operations[$0].answer == nil }
        var place = [Int](repeating: known.count, count: operations.count)
        for (at, index) in known.enumerated() { place[index] = at }
        self.place = place
        isPlaced = [Bool](repeating: false, count: operations.count)
    }

    /// - Parameter log: the rows that the calls have made, from `start` on, where they are known.
    package mutating func run(from start: ModelStore = ModelStore(), log: ArraySlice<LogRow>? = nil) -> Verdict {
        if let log {
            var store = start
            var states: Set = [store.fingerprint]
            for row in log {
                store.fold(row)
                states.insert(store.fingerprint)
            }
            logStates = states
            logEnd = store.fingerprint
        }
        if isDone(start) { return .linearizable }
        var stack = [frame(start, placed: nil)]
        while !stack.isEmpty {
            let top = stack.count - 1
            guard let next = stack[top].choices.popLast() else {
                if !stack[top].isComplete {
                    stack[top].choices = openChoices(stack[top].store)
                    stack[top].isComplete = true
                } else if let placed = stack.removeLast().placed {
                    take(placed, back: true)
                }
                continue
            }
            if steps > stepLimit { return .undecided("after \(steps) steps; \(text)") }
            take(next.index, back: false)
            if isDone(next.store) { return .linearizable }
            guard seen.insert(Key(placed: placedSum, store: next.store.fingerprint)).inserted else {
                take(next.index, back: true)
                continue
            }
            stack.append(frame(next.store, placed: next.index))
        }
        return .notLinearizable(text)
    }

    private var text: String { "\(furthest) of \(operations.count) placed; then\n" + mistakes.map(\.text).joined(separator: "\n") }

    private func isDone(_ store: ModelStore) -> Bool {
        firstLeft == known.count && (logEnd.map { $0 == store.fingerprint } ?? true)
    }

    private mutating func take(_ index: Int, back: Bool) {
        isPlaced[index] = !back
        placedCount += back ? -1 : 1
        var chance = Chance(seed: UInt64(index) &+ 0x5EED)
        placedSum = back ? placedSum &- chance.next() : placedSum &+ chance.next()
        if back {
            firstLeft = min(firstLeft, place[index])
        } else {
            while firstLeft < known.count, isPlaced[known[firstLeft]] { firstLeft += 1 }
        }
    }

    // MARK: What may come next

    /// The first end of a call that is not placed: only those that began before may come next.
    private func firstEnd() -> (end: UInt64, at: Int) {
        var end = UInt64.max
        var at = firstLeft
        while at < known.count, operations[known[at]].began < end {
            if !isPlaced[known[at]] { end = min(end, operations[known[at]].ended ?? .max) }
            at += 1
        }
        return (end, at)
    }

    /// With the calls whose answers are known and fit. The others are looked at once none of these leads on.
    private mutating func frame(_ store: ModelStore, placed: Int?) -> Frame {
        let (firstEnd, at) = firstEnd()
        var choices: [Choice] = []
        for index in known[firstLeft..<at] where !isPlaced[index] && operations[index].began < firstEnd {
            let operation = operations[index]
            if let revision = operation.answer?.revision {
                // Revisions only grow: it has been passed by for good.
                if revision < store.revision {
                    note(.passedBy, operation, at: store)
                    return Frame(store: store, choices: [], isComplete: true, placed: placed)
                }
                // No call moves the revision by more than one.
                if revision > store.revision + 1 { continue }
            }
            steps += 1
            var after = store
            let answer = after.apply(operation.call)
            guard operation.answer == answer else {
                note(.wouldSay(answer), operation, at: store)
                continue
            }
            // What fits and changes nothing may as well be placed now as later: no other choice need be tried. Unless its answer would be
            // the same if it did change something.
            if after.changeCount == store.changeCount, !operation.call.mayChangeUnseen {
                return Frame(store: store, choices: [Choice(index: index, store: after)], isComplete: true, placed: placed)
            }
            guard after.changeCount == store.changeCount || isLogs(after) else {
                note(.isNotTheLogs, operation, at: store)
                continue
            }
            choices.append(Choice(index: index, store: after))
        }
        choices.sort { rank($0) > rank($1) }
        return Frame(store: store, choices: choices, isComplete: false, placed: placed)
    }

    /// The calls of which nobody knows whether they were done, as far as they would change something now.
    private mutating func openChoices(_ store: ModelStore) -> [Choice] {
        let firstEnd = firstEnd().end
        var choices: [Choice] = []
        for index in open where !isPlaced[index] {
            guard operations[index].began < firstEnd else { break }
            steps += 1
            var after = store
            _ = after.apply(operations[index].call)
            if after.changeCount != store.changeCount, isLogs(after) { choices.append(Choice(index: index, store: after)) }
        }
        choices.sort { rank($0) > rank($1) }
        return choices
    }

    /// The lower, the likelier.
    private func rank(_ choice: Choice) -> (UInt64, Int) {
        let operation = operations[choice.index]
        return (operation.ended ?? operation.began, choice.index)
    }

    private func isLogs(_ store: ModelStore) -> Bool { logStates?.contains(store.fingerprint) ?? true }

    private mutating func note(_ reason: Mistake.Reason, _ operation: Operation, at store: ModelStore) {
        if placedCount > furthest {
            furthest = placedCount
            mistakes = []
        }
        guard placedCount == furthest, mistakes.count < 8 else { return }
        mistakes.append(Mistake(revision: store.revision, operation: operation, reason: reason))
    }
}

extension ModelCall {
    /// Whether the answer leaves it open if anything was changed.
    fileprivate var mayChangeUnseen: Bool {
        if case .alarm(let change) = self { change.action != .disarm } else { false }
    }
}
