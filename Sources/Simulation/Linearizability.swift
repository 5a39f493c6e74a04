// Owns: whether a history of calls could have come from one store that did them one after the other.
// Source: Wing and Gong, "Testing and Verifying Concurrent Objects" (1993); the memory of what was tried already is from Lowe,
// "Testing for Linearizability" (2017).
//
// Revisions in answers and hints from the log only say what is tried first. Whether it fits is for the model alone to say.
internal import Keyspace

package enum Verdict: Sendable, Hashable {
    case linearizable
    /// What was tried in vain, at the furthest point that was reached.
    case notLinearizable(String)
    /// The search was given up.
    case undecided(String)
}

/// The search for an order.
package struct LinearizabilityCheck {
    /// A point of the search: the calls that are placed, and what the store is then.
    private struct Frame {
        var store: ModelStore
        /// A hash of the effects so far, in order.
        var effects: Fingerprint
        /// The calls that may come next, the likeliest last, by index.
        var candidates: [Int]
        /// What was placed to come here.
        var placed: Int?
    }

    private struct Key: Hashable {
        var placed: Fingerprint
        var effects: Fingerprint
    }

    private let operations: [Operation]
    /// Those whose end is known, in the order of their beginnings; and the others.
    private let known: [Int]
    private let open: [Int]
    private let stepLimit: Int

    /// Where each call is in `known`; past its end for the others.
    private let place: [Int]

    private var isPlaced: [Bool]
    private var placedCount = 0
    /// All known calls before this one are placed, in `known`.
    private var firstLeft = 0
    private var seen: Set<Key> = []

    package init(_ operations: [Operation], stepLimit: Int = 200_000) {
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

    package mutating func run(from start: ModelStore = ModelStore()) -> Verdict {
        if known.isEmpty { return .linearizable }
        var stack = [Frame(store: start, effects: Fingerprint(), candidates: candidates(start), placed: nil)]
        var furthest = (count: -1, mistakes: [String]())
        var text: String { "\(furthest.count) of \(operations.count) placed; then\n" + furthest.mistakes.joined(separator: "\n") }
        var steps = 0
        while !stack.isEmpty {
            let top = stack.count - 1
            guard let next = stack[top].candidates.popLast() else {
                let frame = stack.removeLast()
                if let placed = frame.placed { take(placed, back: true) }
                continue
            }
            steps += 1
            if steps > stepLimit { return .undecided("after \(steps) steps; \(text)") }
            let operation = operations[next]
            var store = stack[top].store
            let before = store
            let answer = store.apply(operation.call)
            if let expected = operation.answer, expected != answer {
                if placedCount > furthest.count { furthest = (placedCount, []) }
                if placedCount == furthest.count, furthest.mistakes.count < 8 {
                    furthest.mistakes.append("  at revision \(before.revision), \(operation)\n    would say \(answer)")
                }
                continue
            }
            var effects = stack[top].effects
            if store.changeCount != before.changeCount {
                effects.mix(operation.number)
            } else if operation.answer == nil {
                // Nobody saw it and it would change nothing: no need to place it.
                continue
            }
            take(next, back: false)
            if firstLeft == known.count { return .linearizable }
            guard seen.insert(Key(placed: placedHash(), effects: effects)).inserted else {
                take(next, back: true)
                continue
            }
            stack.append(Frame(store: store, effects: effects, candidates: candidates(store), placed: next))
        }
        return .notLinearizable(text)
    }

    private mutating func take(_ index: Int, back: Bool) {
        isPlaced[index] = !back
        placedCount += back ? -1 : 1
        placedSum &+= back ? 0 &- scramble(index) : scramble(index)
        if back {
            firstLeft = min(firstLeft, place[index])
        } else {
            while firstLeft < known.count, isPlaced[known[firstLeft]] { firstLeft += 1 }
        }
    }

    /// A sum of scrambled numbers: the same for the same set, whatever the order.
    private var placedSum: UInt64 = 0

    private func scramble(_ index: Int) -> UInt64 {
        var chance = Chance(seed: UInt64(index) &+ 0x5EED)
        return chance.next()
    }

    private func placedHash() -> Fingerprint {
        var hash = Fingerprint()
        hash.mix(placedSum)
        hash.mix(placedCount)
        return hash
    }

    /// The calls that may come next: those that began before the first end of one that is not placed. The likeliest last.
    private func candidates(_ store: ModelStore) -> [Int] {
        var firstEnd = UInt64.max
        var at = firstLeft
        while at < known.count, operations[known[at]].began < firstEnd {
            if !isPlaced[known[at]] { firstEnd = min(firstEnd, operations[known[at]].ended ?? .max) }
            at += 1
        }
        var ranked: [(rank: Int, hint: Position, order: UInt64, index: Int)] = []
        for index in known[firstLeft..<at] where !isPlaced[index] && operations[index].began < firstEnd {
            let operation = operations[index]
            // Revisions only grow: it has been passed by for good.
            if let revision = operation.answer?.revision, revision < store.revision { return [] }
            // What fits and changes nothing may as well be placed now as later: no other choice need be tried.
            var after = store
            if operation.answer == after.apply(operation.call), after.changeCount == store.changeCount { return [index] }
            ranked.append((rank(operation, store), .start, operation.ended ?? .max, index))
        }
        for index in open where !isPlaced[index] {
            let operation = operations[index]
            guard operation.began < firstEnd else { break }
            ranked.append((rank(operation, store), operation.hint ?? .start, operation.began, index))
        }
        ranked.sort { ($0.rank, $0.hint, $0.order, $0.index) > ($1.rank, $1.hint, $1.order, $1.index) }
        return ranked.map(\.index)
    }

    /// The lower, the likelier.
    private func rank(_ operation: Operation, _ store: ModelStore) -> Int {
        guard let answer = operation.answer else {
            // In the order in which the log seems to have them, after whatever saw what was there before.
            guard let hint = operation.hint else { return 6 }
            return hint.revision <= store.revision ? 1 : hint.revision == store.revision + 1 ? 3 : 5
        }
        guard let revision = answer.revision else { return 0 }
        return revision == store.revision ? 0 : revision == store.revision + 1 ? 2 : 4
    }
}
