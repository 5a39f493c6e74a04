// Owns: how much a turn may still do for watchers.

/// What is left of a turn's bounds: everything that could be any number of rows or watchers has one, and goes on in the next turn.
struct WatchBudget {
    /// Rows and watchers looked at for those who are up to date, and for those who are behind.
    var live: Int
    var sweep: Int
    /// Requests, and watchers of streams that have ended.
    var control = controlLimit
    /// Everything that was looked at so far.
    private(set) var visits = 0

    init(_ configuration: ReplicaConfiguration) {
        live = configuration.watchVisitLimit
        sweep = configuration.watchVisitLimit
    }

    mutating func visited(_ count: Int) { visits += count }

    mutating func spendControl(_ count: Int) {
        control -= count
        visits += count
    }
}
