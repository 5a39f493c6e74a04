// Owns: how long bytes take between a process and the log, and what messages take on the wire.
internal import Keyspace
internal import LogModel
internal import Replica

/// One way of a process's link, which its connections share.
struct LinkDirection {
    private let bytesPerSecond: Int?
    /// When each connection's bytes are through.
    private var busyUntil: [TrueTime]

    init(_ speed: LinkSpeed, connectionCount: Int) {
        bytesPerSecond = speed.bytesPerSecond
        busyUntil = [TrueTime](repeating: 0, count: connectionCount)
    }

    /// Sends so many bytes behind those that a connection has under way. Connections that are busy when it begins have the same share.
    /// - Returns: how many microseconds it is until the last byte is through.
    mutating func pass(_ bytes: Int, on connection: Int, at now: TrueTime) -> Int {
        guard let bytesPerSecond else { return 0 }
        let sharers = busyUntil.indices.count { $0 == connection || busyUntil[$0] > now }
        let start = max(now, busyUntil[connection])
        busyUntil[connection] = start + UInt64(bytes * 1_000_000 / bytesPerSecond * sharers)
        return Int(busyUntil[connection] - now)
    }

    /// Until when bytes are under way on a connection.
    func end(on connection: Int) -> TrueTime { busyUntil[connection] }

    /// The connection is gone, and what was under way on it.
    mutating func forget(_ connection: Int) { busyUntil[connection] = 0 }
}

/// Both ways of a process's link to the log.
struct Link {
    let latencyMicroseconds: Int
    var up: LinkDirection
    var down: LinkDirection

    init(_ speed: LinkSpeed, connectionCount: Int) {
        latencyMicroseconds = speed.latencyMicroseconds
        up = LinkDirection(speed, connectionCount: connectionCount)
        down = LinkDirection(speed, connectionCount: connectionCount)
    }
}

/// How long the log may say nothing before its connection counts as lost. See SessionKeeper and LogLimits in Changelog.
struct Patience {
    private(set) var limitMs = Self.firstMs
    private var answersInARow = 0
    /// When a session was lost whose server said nothing, and there has been none since.
    private var silentSince: TrueTime?

    mutating func wasSilent(at now: TrueTime) { silentSince = silentSince ?? now }

    /// There is a connection again: where it came soon, the server was at fault.
    mutating func connected(at now: TrueTime) {
        guard let silentSince else { return }
        self.silentSince = nil
        guard now - silentSince < UInt64(Self.soonMs) * 1_000 else { return }
        answersInARow = 0
        limitMs = min(limitMs * 2, Self.longestMs)
    }

    mutating func answered(_ rules: LogRules) {
        answersInARow += 1
        guard answersInARow >= rules.answersUntilFast else { return }
        answersInARow = 0
        limitMs = max(limitMs / 2, Self.firstMs)
    }

    private static let firstMs = 1_500
    private static let longestMs = 30_000
    private static let soonMs = 1_000
}

// MARK: Sizes

/// What every statement and every answer takes beside its rows.
let fixedMessageBytes = 100

extension [LogRow] {
    var wireBytes: Int { reduce(0) { $0 + $1.wireBytes } }
}

extension AppendBatch {
    var wireBytes: Int { fixedMessageBytes + rows.wireBytes }
}

extension Tail {
    var wireBytes: Int { fixedMessageBytes + rows.wireBytes }
}

extension LeaseCommand {
    var wireBytes: Int {
        guard case .round(let round) = self else { return fixedMessageBytes }
        return fixedMessageBytes + 24 * (round.remove.count + round.set.count + round.ensure.count + round.read.count)
    }
}
