// Owns: where our history has come by since something was asked beside the fold: whether the answer is of the same history.
//
// After a failover that lost the log's end, or the restore of a backup, other rows stand at the positions that we know. Until that is
// noticed an answer that names rows by position may hold those. So each comes with the head that belongs to it, and counts once that
// head turns out to be a point on our way.
//
// Invariant: the points are in order; from the first on they are all that a head of our history can have been.
internal import Bytes
internal import Keyspace

struct Trail {
    enum Verdict {
        case ours
        /// The fold has to come there first.
        case ahead
        /// Not our history, or no longer.
        case other
        /// The point was forgotten: ask again.
        case unknown
    }

    private var points: [UnverifiedRows.Point] = []

    /// Whether nobody has asked for anything.
    var isEmpty: Bool { points.isEmpty }

    mutating func note(_ position: Position, _ digest: Digest) {
        if points.count == pointLimit { points.removeFirst(pointLimit / 2) }
        points.append(UnverifiedRows.Point(position: position, digest: digest))
    }

    /// - Parameter since: how far our history had come when the question was asked.
    func judge(_ head: Head, since: Position) -> Verdict {
        guard head.position >= since else { return .other }
        guard let last = points.last, head.position <= last.position else { return .ahead }
        // The last point is not before the head.
        let index = points.indices.partitioningIndex { points[$0].position >= head.position }
        guard points[index].position == head.position else { return .unknown }
        return points[index].digest == head.digest ? .ours : .other
    }
}

/// 24 bytes each.
private let pointLimit = 1 << 16

extension Replica {
    /// Something is about to be asked: from here on every point counts.
    mutating func startTrail() {
        if trail.isEmpty { trail.note(store.committed, store.committedDigest) }
    }

    /// Forgets the points once nothing is asked any more.
    mutating func endTrail() {
        if !trail.isEmpty, !fetcher.isReading, !watches.isReadingHistory { trail = Trail() }
    }

    /// Takes answers that have waited to be known as our history's.
    mutating func takeAnswers() {
        takeValues()
        takeHistory()
    }

    /// Sees to it that the fold comes to an answer's head.
    mutating func followTrail() {
        // With an append in flight the rows may be our own: its answer is on the way.
        if !writes.hasBatches { startTailRead() }
    }
}
