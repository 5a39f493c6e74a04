// Owns: which of a cluster's timelines this process has used. Each promotion of a standby begins a new one, so a server of an earlier timeline
// is a primary that was replaced, or restored from a copy of before that.
// Must never: refuse another cluster, which has a system identifier of its own, or a server that doesn't tell.
internal import Synchronization

/// What a server says of its place in the history of its cluster.
struct Timeline: Hashable, Sendable {
    /// The system identifier.
    var cluster: String
    /// Eight hexadecimal digits.
    var number: String
}

final class Timelines: Sendable {
    private let latest = Mutex<Timeline?>(nil)

    /// Throws `notWritable` where this process has used a later timeline of the same cluster.
    func use(_ timeline: Timeline?) throws(LogError) {
        guard let timeline else { return }
        let later = latest.withLock { latest -> Timeline? in
            if let known = latest, known.cluster == timeline.cluster, known.number > timeline.number { return known }
            latest = timeline
            return nil
        }
        guard let later else { return }
        throw LogError.notWritable(
            "it is an old primary: it is on timeline \(timeline.number), and a server on timeline \(later.number) has taken over; "
                + "stop it, or restart Pine if an older copy of the database was restored on purpose")
    }
}
