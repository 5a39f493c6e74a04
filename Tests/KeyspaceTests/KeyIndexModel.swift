// Owns: the naive model that the key index is compared with.
// Must never: share code with the index.
import Bytes
import EtcdAPI
import Testing

@testable import Keyspace

/// Every key's rows in an array; every question answered by looking at all of them.
struct KeyIndexModel {
    var rows: [ByteString: [LogRow]] = [:]
    var tip = Position.start
    var committed = Position.start
    var compactRevision: Revision = 0

    static func bound(_ revision: Revision) -> Position { Position(revision, .max) }

    mutating func apply(_ row: LogRow) {
        rows[row.key, default: []].append(row)
        tip = row.position
    }

    mutating func commit(through position: Position) { committed = position }

    mutating func rollBack(after position: Position) {
        for key in Array(rows.keys) {
            rows[key]!.removeAll { $0.position > position }
            if rows[key]!.isEmpty { rows[key] = nil }
        }
        tip = min(tip, position)
    }

    /// What `collect` without a limit must drop, in order.
    mutating func collect(keepingReadersAt oldest: Revision?) -> [Position] {
        let bound = min(compactRevision, oldest ?? .max)
        let firstKept = compactRevision - 1
        var dropped: [(by: Position, position: Position)] = []
        for (key, all) in rows {
            var left: [LogRow] = []
            for (index, row) in all.enumerated() {
                let next = index + 1 < all.count ? all[index + 1].position : nil
                // A tombstone is dead by itself.
                let causes = [row.kind == .delete ? row.position : nil, next].compactMap { $0 }
                let cause = causes.first { $0.revision <= bound && $0 <= committed }
                guard let cause else {
                    left.append(row)
                    continue
                }
                if row.position.revision < firstKept { dropped.append((cause, row.position)) } else { left.append(row) }
            }
            rows[key] = left.isEmpty ? nil : left
        }
        return dropped.sorted { ($0.by, $0.position) < ($1.by, $1.position) }.map(\.position)
    }

    func version(_ key: ByteString, _ bound: Position) -> KeyVersion? {
        guard let row = rows[key]?.last(where: { $0.position <= bound }), row.kind == .put else { return nil }
        return KeyVersion(
            position: row.position, createRevision: row.createRevision, version: row.version, lease: row.lease, value: row.value)
    }

    /// Keys and versions of the range in order.
    func scan(_ range: KeyRange, _ bound: Position) -> [Found] {
        rows.keys.filter { range.contains($0) }.sorted().compactMap { key in
            version(key, bound).map { Found(key: key, version: $0) }
        }
    }

    var versionCount: Int { rows.values.reduce(0) { $0 + $1.count } }
    var keyBytes: Int { rows.keys.reduce(0) { $0 + $1.count } }
    var valueBytes: Int { rows.values.reduce(0) { $0 + $1.reduce(0) { $0 + $1.value.count } } }
}

struct Found: Equatable {
    var key: ByteString
    var version: KeyVersion
}

func < (a: (Position, Position), b: (Position, Position)) -> Bool { a.0 != b.0 ? a.0 < b.0 : a.1 < b.1 }

/// The index and the model side by side: what is done to one is done to the other.
struct KeyIndexPair: ~Copyable {
    var index: KeyIndex
    var model = KeyIndexModel()

    init(leafLimit: Int = 64, innerLimit: Int = 64) { index = KeyIndex(leafLimit: leafLimit, innerLimit: innerLimit) }

    /// The next position: in a new revision, or the tip's with the next sub.
    func next(sameRevision: Bool) -> Position {
        sameRevision && model.tip.revision > model.committed.revision
            ? Position(model.tip.revision, model.tip.sub + 1) : Position(model.tip.revision + 1, 0)
    }

    mutating func put(_ key: ByteString, value: ByteString, lease: LeaseID = 0, sameRevision: Bool = false) {
        let position = next(sameRevision: sameRevision)
        let before = model.version(key, model.tip)
        apply(
            LogRow(
                position: position, kind: .put, key: key, value: value,
                createRevision: before?.createRevision ?? position.revision,
                version: (before?.version ?? 0) + 1, lease: lease, origin: 1))
    }

    mutating func delete(_ key: ByteString, sameRevision: Bool = false) {
        apply(LogRow(position: next(sameRevision: sameRevision), kind: .delete, key: key, origin: 1))
    }

    private mutating func apply(_ row: LogRow) {
        let leaseBefore = model.version(row.key, model.tip)?.lease ?? 0
        #expect(index.apply(row) == leaseBefore, "\(row)")
        model.apply(row)
    }

    mutating func commit(through position: Position) {
        index.commit(through: position)
        model.commit(through: position)
    }

    mutating func rollBack(after position: Position) {
        index.rollBack(after: position)
        model.rollBack(after: position)
    }

    mutating func compact(to revision: Revision) {
        index.compact(to: revision)
        model.compactRevision = revision
    }

    /// Collects in steps of `limit`, each of which looks at `visitLimit` rows, and returns whether the positions dropped are the model's.
    mutating func collect(limit: Int, visitLimit: Int = .max, keepingReadersAt oldest: Revision?) -> Bool {
        var dropped: [Position] = []
        while true {
            let before = dropped.count
            index.collect(limit: limit, keepingReadersAt: oldest, visitLimit: visitLimit, into: &dropped)
            if dropped.count - before > limit { return false }
            if dropped.count - before < limit, !index.isCollectCut { break }
        }
        return dropped == model.collect(keepingReadersAt: oldest)
    }

    /// The range as of the bound by scans that give way after `visitLimit` keys.
    borrowing func scan(_ range: KeyRange, at revision: Revision?, visitLimit: Int = .max) -> [Found] {
        var found: [Found] = []
        var next: ByteString?
        repeat {
            let body: (borrowing KeyView) -> ScanStep = { view in
                found.append(Found(key: view.key, version: view.version))
                return .goOn
            }
            if let revision {
                next = index.scan(range, at: revision, startingAt: next, visitLimit: visitLimit, body)
            } else {
                next = index.scanLatest(range, startingAt: next, visitLimit: visitLimit, body)
            }
        } while next != nil
        return found
    }

    /// What is counted about the whole agrees.
    borrowing func totalsAgree() -> Bool {
        index.keyCount == model.rows.count && index.versionCount == model.versionCount && index.keyBytes == model.keyBytes
            && index.valueBytes == model.valueBytes && index.tip == model.tip && index.committed == model.committed
            && index.liveCount == model.scan(.all, model.committed).count
    }

    /// Every read of `range`, at the tip and at every revision that may be asked for, agrees.
    borrowing func readsAgree(_ range: KeyRange, from oldest: Revision, visitLimit: Int = .max) -> Bool {
        let latest = model.scan(range, model.tip)
        guard scan(range, at: nil, visitLimit: visitLimit) == latest, index.countLatest(in: range) == latest.count else {
            return false
        }
        var revision = oldest
        while revision <= model.tip.revision + 1 {
            let found = model.scan(range, KeyIndexModel.bound(revision))
            guard scan(range, at: revision, visitLimit: visitLimit) == found, index.count(in: range, at: revision) == found.count
            else {
                return false
            }
            revision += 1
        }
        return true
    }
}
