// Owns: `simulate`: playing many seeds on all cores, and saying which of them failed.
import ArgumentParser
import Dispatch
import Glibc
import Simulation
import Synchronization

@main
struct Simulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Plays seeded runs of several replicas over a simulated log, with faults, and checks what clients saw.",
        discussion: """
            A seed that fails is printed, and plays again exactly:

              swift run -c release simulate --seed 4711 --verbose
            """)

    @Option(help: "How many seeds to play.")
    var seeds: UInt64 = 1

    @Option(help: "The first seed.")
    var seed: UInt64 = 1

    @Option(help: "How many to play at a time. The default is one a core.")
    var jobs: Int?

    @Flag(help: "Give the log its digest key while it is at work.")
    var lateKey = false

    @Option(help: "Play light worlds, heavy ones, or the mixture of both that tests play.")
    var world = World.mixed

    @Option(help: "The traits that heavy worlds may have, separated by commas: \(HeavyTraits.all.names).")
    var traits = HeavyTraits.all.names

    @Option(help: "How the log treats what is slow or large in heavy worlds.")
    var logRules = Rules.current

    enum World: String, ExpressibleByArgument, CaseIterable {
        case light, heavy, mixed
    }

    enum Rules: String, ExpressibleByArgument, CaseIterable {
        case current, impatient, patient

        var rules: LogRules {
            switch self {
            case .current: .current
            case .impatient: .impatient
            case .patient: .patient
            }
        }
    }

    private var kind: WorldKind {
        switch world {
        case .light: return .light
        case .mixed: return .mixed
        case .heavy:
            let names = traits.split(separator: ",").map(String.init)
            let known = HeavyTraits.named.filter { names.contains($0.name) }
            return .heavy(HeavyTraits(known.map(\.traits)), rules: logRules.rules)
        }
    }

    /// The options that play a seed again as it was played.
    private var kindOptions: String {
        switch world {
        case .mixed: ""
        case .light: " --world light"
        case .heavy: " --world heavy --traits \(traits)\(logRules == .current ? "" : " --log-rules \(logRules.rawValue)")"
        }
    }

    func validate() throws {
        for name in traits.split(separator: ",") where !HeavyTraits.named.contains(where: { $0.name == name }) {
            throw ValidationError("--traits has no '\(name)'; use some of \(HeavyTraits.all.names)")
        }
    }

    @Flag(help: "Tell what happens in each run.")
    var verbose = false

    @Flag(help: "Go on after seeds that fail.")
    var keepGoing = false

    func run() throws {
        let jobs = verbose ? 1 : max(jobs ?? Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))), 1)
        let tally = Tally(first: seed, count: seeds, stopsAtFailure: !keepGoing, options: kindOptions)
        reportCrashes()
        let (verbose, kind) = (verbose, kind)
        DispatchQueue.concurrentPerform(iterations: jobs) { job in
            while let seed = tally.next() {
                underWay(job, seed)
                tally.add(Simulation.run(seed: seed, world: kind, tells: verbose, hasLateKey: lateKey))
            }
        }
        let failed = tally.finish()
        if failed > 0 { throw ExitCode(1) }
    }
}

/// What the runs have come to so far.
private final class Tally: Sendable {
    private struct State {
        var next: UInt64
        var played: UInt64 = 0
        var failed = 0
        var operations = 0
        var rows = 0
        /// Of all runs, whatever order they ended in.
        var fingerprint: UInt64 = 0
    }

    private let state: Mutex<State>
    private let end: UInt64
    private let stopsAtFailure: Bool
    /// What plays a seed again as it was played.
    private let options: String
    private let started = ContinuousClock.now

    init(first: UInt64, count: UInt64, stopsAtFailure: Bool, options: String) {
        self.options = options
        state = Mutex(State(next: first))
        end = first &+ count
        self.stopsAtFailure = stopsAtFailure
    }

    func next() -> UInt64? {
        state.withLock { state in
            guard state.next < end, !(stopsAtFailure && state.failed > 0) else { return nil }
            defer { state.next += 1 }
            return state.next
        }
    }

    func add(_ result: SimulationResult) {
        let text = state.withLock { state -> String? in
            state.played += 1
            state.operations += result.operations
            state.rows += result.rows
            state.fingerprint ^= result.fingerprint &* (result.seed | 1)
            guard let failure = result.failure else { return nil }
            state.failed += 1
            return """
                seed \(result.seed) failed \(failure)
                  play it again: swift run -c release simulate --seed \(result.seed)\(options) --verbose
                """
        }
        if let text { print(text) }
    }

    func finish() -> Int {
        state.withLock { state in
            let seconds = started.duration(to: .now)
            print(
                """
                \(state.played) seeds played, \(state.failed) failed; \(state.operations) calls, \(state.rows) rows, \
                fingerprint \(String(state.fingerprint, radix: 16)), in \(seconds)
                """)
            return state.failed
        }
    }
}

/// The seeds that are being played, for a trap's last words. Written by the thread of each job alone, read by a signal handler,
/// which may not take locks.
private nonisolated(unsafe) let playing: UnsafeMutablePointer<UInt64> = {
    let memory = UnsafeMutablePointer<UInt64>.allocate(capacity: jobLimit)
    memory.initialize(repeating: 0, count: jobLimit)
    return memory
}()
private let jobLimit = 256

private func underWay(_ job: Int, _ seed: UInt64) { if job < jobLimit { playing[job] = seed } }

/// A replica that finds a bug of its own ends the process: says which seeds it may have been.
private func reportCrashes() {
    for number in [SIGABRT, SIGILL, SIGTRAP, SIGSEGV, SIGBUS] {
        signal(number) { number in
            for job in 0..<jobLimit where playing[job] != 0 {
                var text: (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8) = (115, 101, 101, 100, 115, 32)
                write(1, &text, 5)
                write(1, " ", 1)
                writeNumber(playing[job])
                write(1, " trapped, or ran beside one that did\n", 37)
            }
            signal(number, SIG_DFL)
            raise(number)
        }
    }
}

/// Without memory of its own, for a signal handler.
private func writeNumber(_ number: UInt64) {
    if number >= 10 { writeNumber(number / 10) }
    var digit = UInt8(48 + number % 10)
    write(1, &digit, 1)
}
