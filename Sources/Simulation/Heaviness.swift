// Owns: what is large or slow in a heavy world: sizes, speeds, costs, and the bounds that hold nevertheless.
// Must never: touch a light world, whose seeds play as they always did.
//
// Everything is small, so that seeds stay cheap: a key here stands for some hundred, a byte for some forty. Only the proportions count:
// keys to the keys that a turn may look at, bytes to a link's rate, an append to the largest message that the server takes.
internal import Keyspace
internal import LogModel
internal import Replica

/// What a process's connections to the log carry, each way.
struct LinkSpeed: Hashable {
    /// nil for as much as there is.
    var bytesPerSecond: Int?
    /// On top of what every trip takes.
    var latencyMicroseconds = 0
}

/// What the server takes.
struct ServerLimits: Hashable {
    /// The largest message: a larger one ends its session.
    var messageByteLimit = Int.max
    /// How long a statement's rows take, each.
    var rowMicroseconds = 0
}

/// What a turn takes.
struct TurnCost: Hashable {
    var keyMicroseconds = 0
    var madeRowMicroseconds = 0
    var foldedRowMicroseconds = 0
    /// For a thousand bytes of answers.
    var kilobyteMicroseconds = 0

    func microseconds(_ turn: TurnWork) -> Int {
        turn.visitedKeys * keyMicroseconds + turn.madeRows * madeRowMicroseconds + turn.foldedRows * foldedRowMicroseconds
            + turn.answerBytes * kilobyteMicroseconds / 1_000
    }
}

struct Heaviness {
    let traits: HeavyTraits
    let rules: LogRules
    /// Nothing is ever broken: then everything has to be done in time.
    let isCalm: Bool
    /// By process.
    let links: [LinkSpeed]
    let hasSlowLink: Bool
    let server: ServerLimits
    let turnCost: TurnCost
    /// Keys that are there from the start, without a lease, and the sizes of theirs.
    let bulkKeyCount: Int
    let bulkKeyBytes: Int
    let bulkValueBytes: Int
    /// Leases that are there from the start, and how many keys each has.
    let bulkLeases: [(ttl: Int64, keyCount: Int)]
    /// Of large values, in bytes.
    let largeValueBytes: Int
    let scanKeyLimit: Int
    let batchByteLimit: Int

    init(_ enabled: HeavyTraits, rules: LogRules, processCount: Int, _ chance: inout Chance) {
        self.rules = rules
        let candidates = HeavyTraits.named.map(\.traits).filter { enabled.contains($0) }
        var traits: HeavyTraits = chance.pick(candidates)
        for trait in candidates where chance.happens(200) { traits.insert(trait) }
        self.traits = traits
        isCalm = chance.happens(600)
        let isLarge = !traits.isDisjoint(with: [.reads, .writeTxns, .abandoned])
        let hasLargeKeys = traits.contains(.statements)
        bulkKeyCount = isLarge ? chance.pick([300, 500, 800]) : hasLargeKeys ? 200 : chance.pick([0, 50])
        let keyBytes = hasLargeKeys ? chance.number(400...600) : chance.number(8...40)
        bulkKeyBytes = keyBytes
        bulkValueBytes = chance.number(1...60)
        scanKeyLimit = chance.pick([5, 10, 20])
        batchByteLimit = 16_000
        var leases: [(ttl: Int64, keyCount: Int)] = []
        if !traits.isDisjoint(with: [.leases, .revokes, .statements]) {
            let keyCount = hasLargeKeys ? 200 : chance.number(400...700)
            for _ in 0..<chance.number(1...2) { leases.append((Int64(chance.number(1...5)), keyCount)) }
        }
        bulkLeases = leases
        // What is large takes longer to arrive than the log holds its lock, and than it is waited for.
        let leaseBytes = leases.map { $0.keyCount * (LogRow.fixedWireBytes + keyBytes) }.max() ?? 40_000
        let rate = leaseBytes * 1_000 / chance.number(1_300...2_500)
        largeValueBytes = rate * chance.number(16...20) / 10
        let slowShare = chance.pick([0, 1_000])
        let hasSlowLink = !traits.isDisjoint(with: [.links, .leases])
        self.links = (0..<processCount).map { index in
            let isSlow = hasSlowLink && (index == 0 || chance.happens(slowShare))
            return LinkSpeed(bytesPerSecond: isSlow ? rate : nil, latencyMicroseconds: chance.pick([0, 0, 5_000, 30_000]))
        }
        self.hasSlowLink = hasSlowLink
        server = ServerLimits(
            messageByteLimit: hasLargeKeys ? 80_000 : .max, rowMicroseconds: chance.pick([0, 20, 100]))
        turnCost = TurnCost(
            keyMicroseconds: isLarge ? 30 : 0,
            madeRowMicroseconds: traits.contains(.revokes) ? 1_500 : chance.pick([0, 20]),
            foldedRowMicroseconds: traits.contains(.revokes) ? 200 : chance.pick([0, 20]),
            kilobyteMicroseconds: traits.contains(.abandoned) ? 100 : chance.pick([0, 10]))
    }

    // MARK: Bounds

    /// How many keys a turn may look at that makes so many rows: what it changes it has to look at.
    func visitedKeyLimit(rows: Int) -> Int { scanKeyLimit * 20 + rows * 2 }

    /// How many rows of one revision a turn may execute: as many keys as it may look at, or leases that expire together.
    var executedRowLimit: Int { max(scanKeyLimit * 6, 100) }

    /// What the whole bulk takes in an answer.
    var bulkBytes: Int { bulkKeyCount * (bulkKeyBytes + bulkValueBytes + 24) }

    /// What a range over the bulk takes that has the leases' keys, too. Their numbers make keys and values longer than they need be.
    private var wholeBulkBytes: Int { (bulkKeyCount + bulkLeaseKeyCount) * (max(bulkKeyBytes, 13) + max(bulkValueBytes, 5) + 24) }

    /// How many bytes of answers a turn may make: three of the largest that anybody asks for.
    var turnAnswerByteLimit: Int { wholeBulkBytes * rangesOfAbandoned * 3 }

    /// How many bytes of a turn's answers may be for clients that had given up before it began.
    var wastedByteLimit: Int { bulkBytes * rangesOfAbandoned }

    /// In what time a process answers a small put while nothing is broken; nil where that is open: behind a slow link a large append
    /// may lose its races against neighbours for longer than a request waits.
    func smallPutLimitMs(at process: Int) -> Int? {
        // A large write is made anew after each race that it loses: up to two without the lock, one under a lock that was held too shortly.
        let makingMs = 4 * largestWriteRowCount * turnCost.madeRowMicroseconds / 1_000
        if !hasSlowLink { return 2_000 + makingMs }
        // Several kinds of large appends may follow each other.
        if traits.intersection([.leases, .revokes, .statements, .links]).rawValue.nonzeroBitCount > 1 { return nil }
        return links.count == 1 || links[process].bytesPerSecond == nil ? 6_500 : nil
    }

    /// Rows of the largest writes together: those of the leases and their keys, and of the bulk where clients delete it.
    private var largestWriteRowCount: Int {
        bulkLeaseKeyCount + bulkLeases.count + (traits.contains(.statements) ? bulkKeyCount : 0)
    }

    private var bulkLeaseKeyCount: Int { bulkLeases.reduce(0) { $0 + $1.keyCount } }

    /// How much longer than others each process may need for a read and a write once all clients have stopped: behind a slow link large
    /// leases that end then, one after the other, are sent by one process and read by the others.
    var restMs: Int { hasSlowLink ? 30_000 : 0 }

    /// How often the epoch is raised while nothing is broken: each connection may have to learn how slow the log is.
    var raisedEpochLimit: Int { links.count }

    /// How much later than promised a lease may end while nothing is broken: it may be given its time anew as processes connect, and as a
    /// large append takes long.
    func leaseDelayMs(ttl: Int64) -> Int {
        let rows = (bulkLeases.map(\.keyCount).max() ?? 0) * max(bulkLeases.count, 1)
        let slowest = links.compactMap(\.bytesPerSecond).min()
        let transferMs = slowest.map { rows * (LogRow.fixedWireBytes + bulkKeyBytes) * 1_000 / $0 } ?? 0
        let othersMs = traits.contains(.links) ? 30_000 : 10_000
        return Int(ttl) * 3_000 + LeaseLimits().slackMaxMs + othersMs + 3 * (transferMs + rows * turnCost.madeRowMicroseconds / 1_000)
    }
}
