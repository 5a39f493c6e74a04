// Owns: what kind of a run a seed gives: which faults there are, how often, and how the replicas are set up.
// A fault that is always there hides others, so each run has only some of them (Groce et al., Swarm Testing, ISSTA 2012).
internal import Replica

struct Swarm {
    /// How long clients and faults go on.
    var lengthMs = 0
    var processCount = 0
    var writerCount = 0
    var watcherCount = 0
    var leaseholderCount = 0
    var keyCount = 0
    /// What clients wait between two calls, in microseconds.
    var thinkTime = 0
    /// A trip to the log or back, in microseconds.
    var tripTime = 0

    // Faults of single statements, per mille.
    /// The connection is cut, and the statement never reaches the log.
    var lostBefore = 0
    /// The connection is cut after the statement was executed.
    var lostAfter = 0
    /// The connection is cut; the statement is executed some time later, whatever anybody believes of it.
    var late = 0
    /// One of the log's threads takes seconds.
    var stalledStatement = 0
    var hints = 0

    /// Faults that strike now and then. Their mean distance in milliseconds.
    var faultIntervalMs = 0
    var faults: [Fault] = []

    /// How many more writes are compactions, per mille.
    var compactions = 0
    /// How many more calls are about alarms, per mille.
    var alarms = 0
    /// 0 for no bound.
    var quotaBytes: Int64 = 0
    var autoCompaction = AutoCompaction.off
    /// Whether processes load the log with the values of some of the newest rows alone.
    var loadsWithoutValues = false

    /// nil for a light world.
    private(set) var heaviness: Heaviness?

    init(_ chance: inout Chance) {
        lengthMs = chance.pick([3_000, 6_000, 12_000, 25_000])
        processCount = chance.number(3...5)
        writerCount = chance.number(2...8)
        watcherCount = chance.number(0...4)
        leaseholderCount = chance.pick([0, 1, 2, 4])
        keyCount = chance.pick([1, 3, 6, 10])
        thinkTime = chance.pick([2_000, 20_000, 80_000])
        if thinkTime == 2_000 { lengthMs = min(lengthMs, 6_000) }
        tripTime = chance.pick([50, 300, 2_000])
        hints = chance.pick([0, 0, 500, 1_000])
        compactions = chance.pick([0, 10, 40])
        alarms = chance.pick([0, 0, 0, 0, 50])
        quotaBytes = chance.pick([0, 0, 0, 30_000, 60_000])
        autoCompaction = chance.pick([.off, .off, .off, .periodic(retentionMs: 500), .periodic(retentionMs: 3_000)])
        if chance.happens(700) { lostBefore = chance.pick([2, 10, 50]) }
        if chance.happens(700) { lostAfter = chance.pick([2, 10, 50]) }
        if chance.happens(700) { late = chance.pick([2, 10, 50]) }
        if chance.happens(300) { stalledStatement = chance.pick([1, 5]) }
        faultIntervalMs = chance.pick([150, 600, 2_000])
        for fault in Fault.allCases where chance.happens(fault.share) { faults.append(fault) }
    }

    /// Makes a light world heavy, by chance of its own: fewer of everything, each of them heavier.
    mutating func makeHeavy(_ traits: HeavyTraits, _ rules: LogRules, _ chance: inout Chance) {
        processCount = chance.number(1...3)
        let heavy = Heaviness(traits, rules: rules, processCount: processCount, &chance)
        lengthMs = chance.pick([6_000, 12_000, 20_000])
        writerCount = chance.number(1...3)
        watcherCount = chance.number(0...2)
        leaseholderCount = chance.number(0...2)
        thinkTime = chance.pick([50_000, 200_000])
        quotaBytes = 0
        alarms = 0
        if heavy.isCalm { heal() }
        heaviness = heavy
    }

    /// No faults at all from here on.
    mutating func heal() {
        lostBefore = 0
        lostAfter = 0
        late = 0
        stalledStatement = 0
        faults = []
    }
}

/// What strikes now and then.
enum Fault: CaseIterable {
    /// A process ends at once, and starts again later.
    case crash
    /// A process is stopped for a while and goes on as if nothing had been.
    case pause
    /// The log can't be reached for a while; all connections are cut.
    case outage
    /// One connection of one process is cut.
    case cut
    /// The log's clock jumps.
    case clockStep
    /// A process gives up the steward's duty, as at a planned stop.
    case handOver
    /// A standby takes over that may lack the last commits, and whose clock is another.
    case failover
    /// A backup is restored while nobody serves.
    case restore

    /// In how many of a thousand runs it is there.
    var share: Int {
        switch self {
        case .crash, .pause, .cut: 600
        case .outage: 400
        case .clockStep: 200
        case .handOver: 300
        case .failover: 300
        case .restore: 60
        }
    }
}

extension Swarm {
    /// Settings for a replica in which bounds are met, too.
    func configuration(origin: Int64, _ chance: inout Chance) -> ReplicaConfiguration {
        var configuration = ReplicaConfiguration(origin: origin, memberID: UInt64(origin))
        configuration.batchRowLimit = chance.pick([1, 3, 100, 1_000])
        configuration.pipelinedWriteLeast = chance.pick([1, 1, 2, 32])
        configuration.tailRowLimit = chance.pick([1, 3, 20, 1_000])
        configuration.historyRowLimit = chance.pick([1, 3, 50, 1_000])
        configuration.scanKeyLimit = chance.pick([1, 3, 1_000])
        configuration.streamChunkBytes = chance.pick([40, 1_000, 100_000])
        configuration.watchHistoryBytes = chance.pick([0, 300, 3_000, 1 << 20])
        // A watcher whose rows are not in memory may be overtaken by compaction while a value is read for it.
        if configuration.watchHistoryBytes > 3_000 { configuration.valueCacheBytes = chance.pick([0, 200, .max]) }
        configuration.watchStreamBufferMinBytes = chance.pick([64, 400, 16_000])
        configuration.watchStreamBufferMaxBytes = chance.pick([500, 4_000, 100_000])
        configuration.watchBufferBytes = chance.pick([2_000, 1_000_000])
        configuration.fragmentByteLimit = chance.pick([150, 400, 1 << 20])
        configuration.watchProgressIntervalMs = chance.pick([500, 5_000])
        configuration.pollIntervalMinMs = chance.pick([5, 50])
        configuration.pollIntervalMaxMs = chance.pick([50, 200, 1_000])
        configuration.quotaBackendBytes = quotaBytes
        configuration.autoCompaction = autoCompaction
        configuration.requestTimeoutMs = chance.pick([1_000, 7_000])
        configuration.leaseLimits.roundIntervalMs = chance.pick([10, 100])
        configuration.leaseLimits.roundLimit = chance.pick([1, 3, 4_000])
        configuration.leaseLimits.expiryLeaseLimit = chance.pick([1, 500])
        configuration.leaseLimits.dutyTermMs = chance.pick([1_500, 6_000])
        configuration.leaseLimits.dutyIntervalMs = configuration.leaseLimits.dutyTermMs / 3
        configuration.leaseLimits.sweepIntervalMs = chance.pick([500, 30_000])
        // By chance of its own, so that the seeds that once failed play as they did.
        var ownChance = Chance(seed: UInt64(bitPattern: origin))
        configuration.unverifiedByteLimit = ownChance.pick([0, 400, 3_000, 1 << 20])
        configuration.deletedRowLimit = ownChance.pick([1, 3, 20, 500])
        if let heaviness { weigh(&configuration, heaviness, &ownChance) }
        return configuration
    }

    /// Bounds for thousands of rows, where bounds of one row would only be slow.
    private func weigh(_ configuration: inout ReplicaConfiguration, _ heavy: Heaviness, _ chance: inout Chance) {
        configuration.batchRowLimit = chance.pick([20, 100, 1_000])
        configuration.batchByteLimit = heavy.batchByteLimit
        configuration.pacedByteLeast = heavy.batchByteLimit / 64
        configuration.tailRowLimit = chance.pick([50, 200])
        configuration.historyRowLimit = chance.pick([100, 1_000])
        configuration.scanKeyLimit = heavy.scanKeyLimit
        configuration.turnKeyLimit = heavy.scanKeyLimit * 6
        configuration.inlineKeyLimit = heavy.scanKeyLimit
        configuration.turnAnswerByteLimit = max(heavy.bulkBytes, 10_000)
        configuration.streamChunkBytes = chance.pick([5_000, 100_000])
        configuration.watchHistoryBytes = chance.pick([3_000, 1 << 20])
        configuration.valueCacheBytes = .max
        configuration.watchStreamBufferMinBytes = 16_000
        configuration.watchStreamBufferMaxBytes = 100_000
        configuration.watchBufferBytes = 1_000_000
        configuration.unverifiedByteLimit = 1 << 20
        configuration.deletedRowLimit = chance.pick([20, 500])
        configuration.requestTimeoutMs = 7_000
        configuration.leaseLimits.roundLimit = 4_000
        configuration.leaseLimits.expiryRowLimit = chance.pick([50, 100])
    }
}
