// Owns: how many bytes a batch may have, by how long the last ones took.
// On a slow link a batch of all that waits would be late for all of its clients, where one after the other most are in time.
// Must never: let a batch be so small that its round trip costs more than its rows.

struct BatchPace {
    /// Bytes of keys and values from which on a batch takes another; at most what was configured.
    private(set) var byteLimit: Int
    private let mostBytes: Int
    private var lastAppended = Instant(nanoseconds: 0)

    /// Batches from this size on tell how fast the link is; none is made smaller.
    private let leastBytes: Int
    /// About how long a batch of the limit's size takes.
    private static let batchMs: UInt64 = 500

    init(mostBytes: Int, leastBytes: Int) {
        self.mostBytes = mostBytes
        self.leastBytes = leastBytes
        byteLimit = mostBytes
    }

    /// A batch of so many bytes, sent at `start`, is durable. It had to wait for the one before it.
    mutating func appended(bytes: Int, since start: Instant, now: Instant) {
        defer { lastAppended = now }
        guard bytes >= leastBytes else { return }
        let start = max(start, lastAppended)
        let ms = max((now.nanoseconds - min(start, now).nanoseconds) / 1_000_000, 1)
        let fitting = UInt64(bytes) * Self.batchMs / ms
        byteLimit = min(max(Int(clamping: fitting), leastBytes), mostBytes)
    }
}
