// Owns: old rows on their way to watchers that are behind.
// Must never: give a watcher rows in passing that it would miss others before.
// Invariant: `passing` are the watchers that stood between `start` and `end` when it began; others are given nothing.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

/// Rows of whole revisions, from `start` through `end`. A class: it is carried across turns.
final class WatchSweep {
    /// Rows that are handed out from the front.
    struct Rows: HandoutRows {
        let all: [LogRow]
        private(set) var passedCount = 0

        init(_ all: [LogRow]) { self.all = all }

        func pending(_ offset: Int) -> LogRow? {
            passedCount + offset < all.count ? all[passedCount + offset] : nil
        }

        mutating func passNext() { passedCount += 1 }

        var left: ArraySlice<LogRow> { all[passedCount...] }
    }

    let start: Revision
    let end: Revision
    private var rows: Rows
    private var handout: Handout
    private let passing: [Watcher]
    /// How many of `passing` were moved on.
    private var settledCount = 0
    /// Streams of which no watcher is behind any more.
    private(set) var caughtUp: [WatchStream] = []
    /// What was read for the rows that come next.
    private var values: [Position: ByteString] = [:]
    /// Whether it waits for values: nobody is taken further meanwhile.
    private(set) var isParked = false
    /// The values that it lacks, while it is parked and has not told.
    private var missing: [MissingValue] = []

    init(rows: [LogRow], start: Revision, end: Revision, _ registry: borrowing WatchRegistry, _ configuration: ReplicaConfiguration) {
        self.rows = Rows(rows)
        self.start = start
        self.end = end
        // What was gathered for one as a synced watcher is sent first.
        passing = registry.laggards.filter {
            $0.place == .catchingUp && $0.events.isEmpty && $0.nextRevision >= start && $0.nextRevision <= end
        }
        handout = Handout(sweeping: passing.count, configuration)
        for watcher in passing { watcher.isSwept = true }
    }

    /// Goes on handing out rows, as far as this turn's bounds go. Where it lacks values it is parked, and `takeMissing` gives them.
    func goOn(
        _ registry: inout WatchRegistry, _ outbox: inout WatchOutbox, _ store: borrowing Store, valueByteLimit: Int
    ) -> Handout.Progress {
        var lookup = ValueLookup(values)
        let progress = handout.goOn(&rows, &registry, &outbox, store, &lookup)
        if case .lacksValue = progress {
            noteMissingValues(registry, &outbox, store, &lookup, byteLimit: valueByteLimit)
            missing = lookup.takeMissing()
            values = [:]
            isParked = true
        }
        outbox.valueCounts += lookup.counts
        return progress
    }

    /// The values that it lacks, once.
    func takeMissing() -> [MissingValue] {
        defer { missing = [] }
        return missing
    }

    /// The values that it lacked; none where they can't be had now, and it has to ask again.
    func unpark(with values: [Position: ByteString]) {
        self.values = values
        isParked = false
    }

    /// Looks for what was before the next rows, as far as watchers with `prev_kv` will be given it.
    private func noteMissingValues(
        _ registry: borrowing WatchRegistry, _ outbox: inout WatchOutbox, _ store: borrowing Store, _ lookup: inout ValueLookup,
        byteLimit: Int
    ) {
        var left = missingVisitLimit
        var bytes = 0
        for row in rows.left where row.kind == .put || row.kind == .delete {
            guard left > 0, bytes < byteLimit else { break }
            left -= 1
            guard let previous = store.previous(of: row), !previous.hasValue else { continue }
            var isWanted = false
            registry.matches(row.key, areSynced: false) { key in
                left -= 1
                guard !isWanted, let watcher = registry.watchers[key] else { return }
                isWanted = watcher.isSwept && !watcher.hasStopped && watcher.wantsPrevKV && watcher.wants(row.kind)
            }
            guard isWanted else { continue }
            bytes += Int(previous.valueLength)
            _ = lookup.value(of: previous, key: row.key)
        }
        outbox.budget.visited(missingVisitLimit - left)
    }

    /// The pass has ended: watchers that did not stop stand behind the sweep, and are up to date if everything after it is still to be
    /// handed out to synced watchers, from `liveRevision` on. False if the turn's bounds end before the watchers do.
    func settle(_ registry: inout WatchRegistry, _ outbox: inout WatchOutbox, liveRevision: Revision) -> Bool {
        while settledCount < passing.count {
            guard outbox.budget.sweep > 0 else { return false }
            let watcher = passing[settledCount]
            settledCount += 1
            outbox.budget.visited(1)
            outbox.budget.sweep -= 1
            let hasStopped = watcher.hasStopped
            watcher.isSwept = false
            watcher.hasStopped = false
            guard watcher.place == .catchingUp, !hasStopped else { continue }
            watcher.nextRevision = end + 1
            guard end >= liveRevision else { continue }
            registry.remove(watcher)
            registry.synchronise(watcher)
            if watcher.stream.laggingCount == 0 { caughtUp.append(watcher.stream) }
        }
        return true
    }

    /// Nobody is given the rest.
    func abandon(_ registry: inout WatchRegistry) {
        handout.abort()
        for watcher in passing[settledCount...] {
            _ = registry.takeBackEvents(of: watcher)
            watcher.isSwept = false
            watcher.hasStopped = false
        }
    }

    /// Traps where a watcher takes part that does not.
    func invariants() {
        for watcher in passing[settledCount...] { invariant(watcher.isSwept, "a watcher has left the sweep that it is in") }
        for watcher in passing[..<settledCount] { invariant(!watcher.isSwept, "a watcher has left the sweep and is in it") }
    }
}

/// How many keys and watchers are looked at for values that a sweep is going to need.
private let missingVisitLimit = 1_000
