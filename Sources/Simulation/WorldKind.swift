// Owns: which worlds there are: light ones, heavy ones with traits, and how Changelog and PostgreSQL treat what is large in those.
// Must never: give a light world's seed another meaning than it had.

/// What kinds of weight a heavy world may have. Each has its load, and checks that come with it.
package struct HeavyTraits: OptionSet, Hashable, Sendable {
    package let rawValue: Int

    package init(rawValue: Int) { self.rawValue = rawValue }

    /// Reads that look at many keys many times: no turn looks at more than a bounded number.
    package static let reads = HeavyTraits(rawValue: 1)
    /// Write transactions that read as much: the same.
    package static let writeTxns = HeavyTraits(rawValue: 2)
    /// Leases with many keys on slow links: each ends in time.
    package static let leases = HeavyTraits(rawValue: 4)
    /// Leases with so many keys that to make the rows of their revokes takes longer than the log holds its lock: the same.
    package static let revokes = HeavyTraits(rawValue: 8)
    /// Appends that are larger than the largest message that the server takes: they get into the log nevertheless.
    package static let statements = HeavyTraits(rawValue: 16)
    /// Large values on slow links: nobody is taken for dead.
    package static let links = HeavyTraits(rawValue: 32)
    /// Many clients that give up at once: little is done for them, and no turn hands out more than a bounded number of bytes.
    package static let abandoned = HeavyTraits(rawValue: 64)

    package static let all: HeavyTraits = [.reads, .writeTxns, .leases, .revokes, .statements, .links, .abandoned]

    /// By their names on the command line.
    package static let named: [(name: String, traits: HeavyTraits)] = [
        ("reads", .reads), ("write-txns", .writeTxns), ("leases", .leases), ("revokes", .revokes), ("statements", .statements),
        ("links", .links), ("abandoned", .abandoned),
    ]

    package var names: String { Self.named.filter { contains($0.traits) }.map(\.name).joined(separator: ",") }
}

/// How Changelog and PostgreSQL, which are not in the simulator, treat what is large or slow.
package struct LogRules: Hashable, Sendable {
    /// Whether bytes that are still leaving are progress, so that the server's silence begins once they have arrived.
    package var countsLeavingBytes: Bool
    /// Whether the head row's lock is kept while the append that it is for is arriving.
    package var keepsLockWhileArriving: Bool
    /// Whether it is held for longer where others' rows have to be read over a slow link, or many to be made, before there is an append.
    package var holdsLockForWork: Bool
    /// After how long a statement that waits for it is told that another process has it; nil for never.
    package var lockWaitLimitMs: Int?
    /// Whether an append that is too large for one message is sent in several, in one transaction.
    package var cutsLargeAppends: Bool
    /// After how many answers in a row patience is halved.
    package var answersUntilFast: Int

    /// What is slow is taken for dead, what is large is refused.
    package static let impatient = LogRules(
        countsLeavingBytes: false, keepsLockWhileArriving: false, holdsLockForWork: false, lockWaitLimitMs: nil,
        cutsLargeAppends: false, answersUntilFast: 16)
    package static let patient = LogRules(
        countsLeavingBytes: true, keepsLockWhileArriving: true, holdsLockForWork: true, lockWaitLimitMs: 1_000, cutsLargeAppends: true,
        answersUntilFast: .max)

    /// Those that Changelog follows.
    package static let current = LogRules.patient
}

package enum WorldKind: Hashable, Sendable {
    /// Statements and turns take no time, whatever their size.
    case light
    /// With some of these traits.
    case heavy(HeavyTraits, rules: LogRules = .current)
    /// Mostly light; by chance, heavy with any of the traits.
    case mixed

    /// Whether processes load the log without most of its values, by chance of the seed's own.
    func loadsWithoutValues(_ seed: UInt64) -> Bool {
        var chance = Chance(seed: seed ^ 0x10AD_10AD)
        return heavy(seed) == nil && chance.happens(Self.bareLoadShare)
    }

    /// In how many of a thousand light worlds that is so.
    private static let bareLoadShare = 300
    /// In how many of a thousand mixed seeds the world is heavy.
    private static let heavyShare = 100

    /// What a seed plays; nil for a light world.
    func heavy(_ seed: UInt64) -> (traits: HeavyTraits, rules: LogRules)? {
        switch self {
        case .light: return nil
        case .heavy(let traits, let rules): return traits.isEmpty ? nil : (traits, rules)
        case .mixed:
            var chance = Chance(seed: ~seed)
            return chance.happens(Self.heavyShare) ? (.all, .current) : nil
        }
    }
}
