// Owns: one watch of an informer, and what it may still be sent.
internal import EtcdAPI
internal import Keyspace

/// One watch, compared with every history of the log that it can be about.
final class ObservedWatch {
    let request: WatchCreateRequest
    private let range: KeyRange
    /// The first revision whose events are due.
    private let start: Revision
    private let world: World
    /// By era: how many rows are done with.
    private var passed: [Int: Int] = [:]
    /// Eras that it can't be about.
    private var refuted: Set<Int> = []
    private var lastRevision: Revision?
    private var isInFragments = false

    init(_ request: WatchCreateRequest, range: KeyRange, createdAt revision: Revision, _ world: World) {
        self.request = request
        self.range = range
        self.world = world
        start = request.startRevision == 0 ? revision + 1 : request.startRevision
        for era in world.log.eras.indices { passed[era] = 0 }
    }

    func keepsBooks(after revision: Revision) -> Bool { request.startRevision == revision + 1 }

    private func wants(_ row: LogRow) -> Bool {
        guard row.position.revision >= start, range.contains(row.key) else { return false }
        return switch row.kind {
        case .put: !request.filters.contains(.noPut)
        case .delete: !request.filters.contains(.noDelete)
        default: false
        }
    }

    /// The row of the era whose event is due next.
    private func due(_ era: Int) -> LogRow? {
        let archive = world.log.eras[era].archive
        var at = passed[era] ?? archive.count
        while at < archive.count, !wants(archive[at]) { at += 1 }
        if passed[era] != nil { passed[era] = at }
        return at < archive.count ? archive[at] : nil
    }

    /// A process that had not come further goes on with the history that came after a loss, whichever it comes of; and so does one that
    /// had, once what was lost is there again.
    private func followLosses() {
        for next in world.log.eras.indices where passed[next] == nil && !refuted.contains(next) {
            for era in passed.keys.sorted(by: >) where era < next {
                guard let count = passed[era].flatMap({ continued($0, of: era, in: next) }) else { continue }
                passed[next] = count
                break
            }
        }
    }

    /// How many rows of a later era are done with where `before` of an earlier one are; nil where that went on beyond what the two
    /// share.
    private func continued(_ before: Int, of earlier: Int, in later: Int) -> Int? {
        let (archive, next) = (world.log.eras[earlier].archive, world.log.eras[later])
        let shared = next.sharedCount(with: world.log.eras[earlier], earlier)
        // Rows that nobody wants may have been passed by.
        let seen = archive.prefix(before).last { wants($0) }
        let last = shared == 0 ? Position.start : next.archive[shared - 1].position
        return seen?.position ?? .start <= last ? min(before, shared) : nil
    }

    /// Keeps the eras for which `check` finds no mistake. A mistake if there are none.
    private func keep(_ check: (Int) -> String?) -> String? {
        followLosses()
        var mistake: String?
        for era in passed.keys.sorted(by: >) {
            guard let found = check(era) else { continue }
            mistake = mistake ?? found
            passed[era] = nil
            refuted.insert(era)
        }
        return passed.isEmpty ? mistake : nil
    }

    // MARK: What it is told

    func progress(_ revision: Revision) -> String? {
        if request.startRevision > revision { return "progress \(revision) of a watch from \(start)" }
        return keep { era in
            guard let missing = due(era), missing.position.revision <= revision else { return nil }
            return "told of \(revision), but not of \(missing.position), from \(start)"
        }
    }

    func compacted(_ revision: Revision) -> String? {
        guard start < revision, lastRevision ?? 0 < revision else {
            return "compacted at \(revision), from \(start), after \(lastRevision ?? 0)"
        }
        // Also by what was done to another history than the one that it followed.
        let isTrue = world.log.eras.contains { $0.archive.contains { $0.kind == .compact && $0.compactRevision == revision } }
        return isTrue ? nil : "compacted at \(revision), where nothing was"
    }

    func take(_ response: WatchResponse, _ revision: Revision) -> String? {
        let first = response.events[0].kv?.modRevision ?? 0
        if let last = lastRevision, !isInFragments, first <= last { return "revision \(last) was cut" }
        if response.fragment, !request.fragment { return "a fragment that nobody asked for" }
        isInFragments = response.fragment
        for event in response.events {
            let mistake = keep { era in
                guard var row = due(era) else { return "an event of nothing: \(event)" }
                while !event.isOf(row), isSuperseded(row, era) {
                    passed[era] = (passed[era] ?? 0) + 1
                    guard let next = due(era) else { return "an event of nothing: \(event)" }
                    row = next
                }
                if let mistake = compare(event, row, era) { return mistake }
                passed[era] = (passed[era] ?? 0) + 1
                return nil
            }
            if let mistake { return mistake }
            lastRevision = event.kv?.modRevision
            if let lastRevision, lastRevision > revision { return "revision \(revision) with an event of \(lastRevision)" }
        }
        return nil
    }

    /// Whether the log need not have the row any more: the same transaction changed the key again, and its revision is the compacted
    /// one. Etcd doesn't keep it either, though a watch may begin there.
    private func isSuperseded(_ row: LogRow, _ era: Int) -> Bool {
        let archive = world.log.eras[era].archive
        return archive.contains { $0.kind == .compact && $0.compactRevision == row.position.revision }
            && archive.contains { $0.key == row.key && $0.position > row.position && $0.position.revision == row.position.revision }
    }

    private func compare(_ event: Event, _ row: LogRow, _ era: Int) -> String? {
        let kv = row.kind == .put ? KeyValue(row) : KeyValue(key: row.key, modRevision: row.position.revision)
        guard event.kv == kv, event.type == (row.kind == .put ? .put : .delete) else {
            return "\(event) instead of \(row), from \(start)"
        }
        guard request.prevKV else { return event.prevKV == nil ? nil : "prev_kv that nobody asked for" }
        let archive = world.log.eras[era].archive
        let before = archive.prefix(passed[era] ?? 0).last {
            $0.key == row.key && $0.position.revision < row.position.revision && ($0.kind == .put || $0.kind == .delete)
        }
        // As in etcd, a put that creates the key has none, though the same transaction may have deleted it before.
        let isCreated = row.kind == .put && row.createRevision == row.position.revision
        let previous = before.flatMap { $0.kind == .put && !isCreated ? KeyValue($0) : nil }
        let isCompacted = archive.contains { $0.kind == .compact && row.position.revision <= $0.compactRevision }
        return event.prevKV == previous || event.prevKV == nil && isCompacted
            ? nil : "prev_kv \(String(describing: event.prevKV)) instead of \(String(describing: previous))"
    }
}

extension Event {
    fileprivate func isOf(_ row: LogRow) -> Bool {
        kv?.key == row.key && kv?.modRevision == row.position.revision && (type == .put) == (row.kind == .put)
    }
}
