// Owns: the Watch calls and watchers that there are, where each watcher stands, and how much their clients may have under way.
// Must never: know what a row is, or send anything. Dictionary order never reaches a result.
//
//            fall behind                    client has enough to take
//   synced ──────────────▶ catching up ◀──────────────────────────────▶ parked
//      ▲                        │             client has taken most
//      └──────── caught up ─────┘
//
// Invariants (see `invariants()`): a watcher is in exactly one place until it is forgotten, or its stream has ended; `laggards` lists all
// that are catching up once those that have left are forgotten.
internal import Bytes
internal import Calls
internal import DequeModule
internal import EtcdAPI
internal import Keyspace

struct WatchRegistry: ~Copyable {
    private(set) var streams: [CallID: WatchStream] = [:]
    /// Streams whose clients want them ended where the log is away.
    private var leaderStreams: Set<CallID> = []
    private(set) var watchers: [WatchKey: Watcher] = [:]
    private var nextKey: UInt64 = 1
    private var synced = WatchHub()
    private var catchingUp = WatchHub()
    /// The watchers that are catching up. Those whose clients don't read are parked, and cost nothing until they do.
    private(set) var laggards: [Watcher] = []
    /// Whether some of them have left.
    private var hasLeavers = false
    /// Whether something has changed since it was last looked at what can be done for laggards.
    var needsLook = false
    /// Streams that have ended, with watchers that are still to be forgotten.
    private var ended = Deque<EndedStream>()
    /// The keys and range ends that all watchers look at, in bytes.
    private var rangeBytes = 0
    /// How many watchers want progress notifications.
    private(set) var progressWatchers = 0
    private let configuration: ReplicaConfiguration

    /// A stream that has ended and the watchers of it that are not forgotten yet.
    private struct EndedStream {
        var stream: WatchStream
        var watchers: [Watcher]
    }

    init(_ configuration: ReplicaConfiguration) { self.configuration = configuration }

    deinit {
        for stream in streams.values { stream.forgetAll() }
    }

    var hasLeaderStreams: Bool { !leaderStreams.isEmpty }
    var hasEnded: Bool { !ended.isEmpty }
    /// Whether nobody is up to date.
    var isNobodySynced: Bool { synced.isEmpty }
    /// Watchers that have not been sent everything up to now, those of ended streams included.
    var laggingCount: Int { max(0, watchers.count - synced.count) }

    // MARK: Streams

    mutating func opened(_ id: CallID, by principal: Principal, progressDue: Instant) {
        streams[id] = WatchStream(id, by: principal, progressDue: progressDue)
    }

    /// False where there is no such stream.
    mutating func leaderRequired(_ id: CallID) -> Bool {
        guard streams[id] != nil else { return false }
        leaderStreams.insert(id)
        return true
    }

    /// In the order of their ids.
    var sortedLeaderStreams: [CallID] { leaderStreams.sorted { $0.rawValue < $1.rawValue } }

    /// The client is gone, or is being sent away. Its watchers are forgotten by and by. False where there is no such stream.
    mutating func end(_ id: CallID) -> Bool {
        guard let stream = streams.removeValue(forKey: id) else { return false }
        leaderStreams.remove(id)
        stream.hasEnded = true
        ended.append(EndedStream(stream: stream, watchers: stream.watchers.values.compactMap { $0 }))
        stream.forgetAll()
        return true
    }

    /// Forgets watchers of streams that have ended, at most `limit`. How many were forgotten.
    mutating func forgetEnded(limit: Int) -> Int {
        var count = 0
        while count < limit, !ended.isEmpty {
            guard let watcher = ended[0].watchers.popLast() else {
                ended.removeFirst()
                continue
            }
            count += 1
            drop(watcher)
        }
        return count
    }

    // MARK: Clients' room

    /// Whether the client has so much to take that nothing more is gathered for it.
    func isBlocked(_ stream: WatchStream) -> Bool { stream.outstanding.all + stream.gathered >= bufferLimit }

    /// What one stream may have under way, in bytes: its share of what all may have together, within reason.
    private var bufferLimit: Int {
        let share = configuration.watchBufferBytes / max(streams.count, 1)
        return max(min(share, configuration.watchStreamBufferMaxBytes), configuration.watchStreamBufferMinBytes)
    }

    /// Whether there is room for more than a little: a stream may have many watchers, and each time all of them come along.
    private func mayUnpark(_ stream: WatchStream) -> Bool {
        (stream.outstanding.all + stream.gathered) * 2 <= bufferLimit
    }

    /// The client has taken something, or something that was gathered for it was taken back: its parked watchers may go on.
    mutating func roomGained(_ stream: WatchStream) {
        guard stream.parkedCount > 0, mayUnpark(stream) else { return }
        for watcher in stream.takeParked() {
            watcher.place = .nowhere
            join(watcher)
        }
    }

    /// Takes back what was gathered for a watcher, of `revision` and later. How many events there were.
    mutating func takeBackEvents(of watcher: Watcher, from revision: Revision = 0) -> Int {
        let count = watcher.takeBackEvents(from: revision)
        // That may have been all that kept the others of its stream from more: no report will come.
        if count > 0 { roomGained(watcher.stream) }
        return count
    }

    // MARK: Watchers

    /// Whether one more watcher of this range is within the bounds.
    func hasRoom(for range: KeyRange) -> Bool {
        watchers.count < configuration.watcherLimit && rangeBytes + range.byteCount <= configuration.watchRangeByteLimit
    }

    /// A new watcher, which is in no place yet.
    mutating func add(
        to stream: WatchStream, id: WatchID, range: KeyRange, _ request: WatchCreateRequest, nextRevision: Revision
    ) -> Watcher {
        let watcher = Watcher(
            key: WatchKey(nextKey), stream: stream, id: id, range: range, request: request, nextRevision: nextRevision)
        nextKey += 1
        watchers[watcher.key] = watcher
        rangeBytes += range.byteCount
        if watcher.wantsProgress { progressWatchers += 1 }
        stream.add(watcher)
        return watcher
    }

    /// A watcher of a stream that goes on was cancelled.
    mutating func forget(_ watcher: Watcher) {
        drop(watcher)
        _ = takeBackEvents(of: watcher)
    }

    private mutating func drop(_ watcher: Watcher) {
        watchers[watcher.key] = nil
        rangeBytes -= watcher.range.byteCount
        if watcher.wantsProgress { progressWatchers -= 1 }
        remove(watcher)
    }

    // MARK: Places

    /// Visits the watchers of a key, those that are up to date or those that are catching up.
    borrowing func matches(_ key: ByteString, areSynced: Bool, _ visit: (WatchKey) -> Void) {
        if areSynced { synced.matches(key, visit) } else { catchingUp.matches(key, visit) }
    }

    /// Puts a watcher that is nowhere among those that have been sent everything.
    mutating func synchronise(_ watcher: Watcher) {
        watcher.place = .synced
        watcher.isBlameless = false
        synced.insert(watcher.key, range: watcher.range)
    }

    /// Puts a watcher that is nowhere among those that are sent history.
    mutating func fallBehind(_ watcher: Watcher) {
        watcher.stream.laggingCount += 1
        if isBlocked(watcher.stream) { watcher.stream.park(watcher) } else { join(watcher) }
    }

    private mutating func join(_ watcher: Watcher) {
        watcher.place = .catchingUp
        catchingUp.insert(watcher.key, range: watcher.range)
        needsLook = true
        if watcher.isListed { return }
        watcher.isListed = true
        laggards.append(watcher)
    }

    /// Takes laggards whose streams have ended out of their places: they are forgotten in a later turn, and have nobody to be told anything
    /// until then.
    mutating func removeEnded() {
        for watcher in laggards where watcher.place == .catchingUp && watcher.stream.hasEnded { remove(watcher) }
    }

    /// Parks laggards whose clients have enough to take, and forgets those that have left.
    mutating func parkBlocked() {
        for watcher in laggards where watcher.place == .catchingUp && isBlocked(watcher.stream) {
            catchingUp.remove(watcher.key)
            watcher.stream.park(watcher)
            hasLeavers = true
        }
        forgetLeavers()
    }

    /// Takes a watcher out of its place.
    mutating func remove(_ watcher: Watcher) {
        switch watcher.place {
        case .nowhere: break
        case .synced: synced.remove(watcher.key)
        case .catchingUp:
            catchingUp.remove(watcher.key)
            // Many may leave together: `laggards` forgets them in one pass.
            hasLeavers = true
        case .parked: break
        }
        if watcher.isLagging { watcher.stream.laggingCount -= 1 }
        if watcher.place == .parked { watcher.stream.unparked(watcher) }
        watcher.place = .nowhere
    }

    mutating func forgetLeavers() {
        guard hasLeavers else { return }
        hasLeavers = false
        laggards.removeAll { watcher in
            if watcher.place != .catchingUp { watcher.isListed = false }
            return watcher.place != .catchingUp
        }
    }

    /// Where a sweep goes on: at the lowest revision that a laggard waits for at or after the sweep's, else again at the lowest
    /// of all. So all watchers on the way share what is read, and none waits for longer than a sweep.
    func nextRevision(from sweep: Revision, where isWanted: (Revision) -> Bool) -> Revision? {
        var ahead: Revision?
        var lowest: Revision?
        for watcher in laggards {
            let revision = watcher.nextRevision
            guard isWanted(revision) else { continue }
            if revision >= sweep { ahead = min(ahead ?? .max, revision) }
            lowest = min(lowest ?? .max, revision)
        }
        return ahead ?? lowest
    }

    /// Watchers in the order in which they were made.
    func sortedWatchers(where isWanted: (Watcher) -> Bool) -> [Watcher] {
        watchers.values.filter(isWanted).sorted { $0.key < $1.key }
    }

    // MARK: Invariants

    /// Traps where the registry breaks its rules. Looks at every watcher: for tests.
    borrowing func invariants() {
        invariant(synced.count + catchingUp.count <= watchers.count, "a hub knows watchers that are forgotten")
        var parkedCount = 0
        var endedCount = 0
        for (key, watcher) in watchers {
            switch watcher.place {
            case .nowhere:
                invariant(watcher.stream.hasEnded, "watcher \(key.rawValue) is nowhere")
                endedCount += 1
            case .synced: invariant(synced.range(of: key) == watcher.range, "watcher \(key.rawValue) is not synced")
            case .catchingUp:
                invariant(catchingUp.range(of: key) == watcher.range, "watcher \(key.rawValue) is not catching up")
                invariant(watcher.isListed, "watcher \(key.rawValue) is catching up and not listed")
            case .parked: parkedCount += 1
            }
        }
        invariant(
            synced.count + catchingUp.count + parkedCount + endedCount == watchers.count, "a watcher is in two places")
        invariant(Set(laggards.map(\.key)).count == laggards.count, "a laggard is listed twice")
        invariant(laggards.count(where: { $0.place == .catchingUp }) == catchingUp.count, "a laggard is not listed")
        invariant(hasLeavers || laggards.count == catchingUp.count, "a laggard has left unnoticed")
        invariant(rangeBytes == watchers.values.reduce(0) { $0 + $1.range.byteCount }, "ranges of \(rangeBytes) bytes are miscounted")
        invariant(progressWatchers == watchers.values.count(where: \.wantsProgress), "\(progressWatchers) want progress: miscounted")
        for id in leaderStreams { invariant(streams[id] != nil, "stream \(id.rawValue) has ended and wants a leader") }
        for stream in streams.values { stream.invariants() }
    }
}

extension KeyRange {
    /// What the keys that it names take, in bytes.
    fileprivate var byteCount: Int {
        if case .before(let end) = end { return start.count + end.count }
        return start.count
    }
}
