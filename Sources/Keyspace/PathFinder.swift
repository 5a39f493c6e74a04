// Owns: which branches a transaction takes: its comparisons, evaluated in steps where their ranges are long.
// Must never: look at more keys in a step than it was given visits for.
//
// All comparisons see the store as it was before the transaction, nested ones included.
internal import Bytes
internal import EtcdAPI

/// Walks through a transaction and those nested in the branches that it takes, in the order in which they are met.
struct PathFinder {
    /// Whose comparisons are being evaluated.
    private var txn: TxnRequest
    /// To come after it, the next one last.
    private var rest: [TxnRequest] = []
    private var nextComparison = 0
    /// Of a comparison with a range: where it goes on, and whether it has met any key.
    private var nextKey: ByteString?
    private var hasMet = false
    /// Whether each transaction's comparisons held, in the order in which they were met.
    private(set) var path: [Bool] = []
    private let position: Position

    /// - Parameter position: of the last row that the comparisons see.
    init(_ txn: TxnRequest, at position: Position) {
        self.txn = txn
        self.position = position
    }

    /// True once the path is known. False: `visits` ran out. Where values are missing afterwards, what it found is worth nothing.
    mutating func step(_ index: borrowing KeyIndex, _ lookup: inout ValueLookup, visits: inout Int) -> Bool {
        while true {
            guard let holds = allHold(index, &lookup, visits: &visits) else { return false }
            path.append(holds)
            for case .txn(let nested) in (holds ? txn.success : txn.failure).reversed() { rest.append(nested) }
            guard let next = rest.popLast() else { return true }
            txn = next
            nextComparison = 0
        }
    }

    /// Nil where `visits` ran out.
    private mutating func allHold(_ index: borrowing KeyIndex, _ lookup: inout ValueLookup, visits: inout Int) -> Bool? {
        while nextComparison < txn.compare.count {
            guard let holds = holds(txn.compare[nextComparison], index, &lookup, visits: &visits) else { return nil }
            nextKey = nil
            hasMet = false
            if !holds { return false }
            nextComparison += 1
        }
        return true
    }

    /// Whether `comparison` holds for every key that it names. Without any, it compares with nothing: zeros, and a value
    /// comparison fails.
    private mutating func holds(
        _ comparison: Compare, _ index: borrowing KeyIndex, _ lookup: inout ValueLookup, visits: inout Int
    ) -> Bool? {
        guard visits > 0 else { return nil }
        if comparison.rangeEnd.isEmpty {
            visits -= 1
            guard let version = index.version(of: comparison.key, at: position) else { return comparison.holdsForNothing }
            return comparison.holds(version, comparison.key, &lookup)
        }
        var any = hasMet
        var all = true
        let range = KeyRange(key: comparison.key, rangeEnd: comparison.rangeEnd)
        nextKey = index.scan(range, at: position, startingAt: nextKey, visits: &visits) { view in
            any = true
            all = comparison.holds(view.version, view.key, &lookup)
            // What is missing may hold or not; the others' values will be needed, too.
            return all || lookup.hasMissing ? .goOn : .stop
        }
        hasMet = any
        if !all { return false }
        if nextKey != nil { return nil }
        return any ? true : comparison.holdsForNothing
    }
}

extension Compare {
    fileprivate var holdsForNothing: Bool {
        target != .value && holds(order: order(0, 0, 0, 0))
    }

    fileprivate func holds(_ version: borrowing KeyVersion, _ key: @autoclosure () -> ByteString, _ lookup: inout ValueLookup) -> Bool {
        if target == .value { return holds(order: lookup.value(of: version, key: key()).order(against: valueOperand)) }
        return holds(
            order: order(version.version, version.createRevision, version.position.revision, version.lease))
    }

    /// How the field that is compared relates to what the comparison names: negative, zero or positive.
    private func order(_ version: Int64, _ createRevision: Revision, _ modRevision: Revision, _ lease: LeaseID) -> Int {
        let actual: Int64 =
            switch target {
            case .version: version
            case .create: createRevision.rawValue
            case .mod: modRevision.rawValue
            case .lease: lease.rawValue
            default: 0
            }
        let wanted = numberOperand
        return actual < wanted ? -1 : actual > wanted ? 1 : 0
    }

    private func holds(order: Int) -> Bool {
        switch result {
        case .equal: order == 0
        case .greater: order > 0
        case .less: order < 0
        case .notEqual: order != 0
        default: true
        }
    }
}
