// Owns: runs of the simulator that are played with every test: seeds that once failed, and fresh ones. What a seed plays changes with
// the simulator, so each mistake that one has shown has a test of its own beside the part that made it.
import Simulation
import Testing

@Suite struct SimulationTests {
    @Test(
        "Seeds that once failed are fine",
        arguments: [
            // A tail that was read before the epoch was raised settled a lost append: it was done twice.
            35, 116, 138, 215,
            // The rest of a tail could not be read, and nobody asked again.
            22, 46, 51, 122,
            // A standby from before a restore took over, and the simulator believed that it held what had come after.
            1486,
            // Nobody could be the steward before the clock, which had been set back, was past an earlier one's term.
            1549,
            // A process that gave up its duty and was to end stayed away for long in peace.
            4712,
            // Clients went on from what was lost, and who knew of that came back after a compaction beyond it.
            5792,
            // The steward's deletions were refused, as of another history, once the log had been moved past its last key.
            7712,
            // A new steward cut a lease short that another process had just kept alive with more slack.
            24815, 25830,
            // Rows of another history were seen where a limit had cut them off from the head that would have shown that they were.
            27375,
            // A second loss took back that the log had been moved; it was moved again, right past what somebody else had served meanwhile.
            40429,
            // A statement of the steward's that came late set back how far deleting had come.
            49024,
            // A client's alarm came late, once it had been disarmed for peace, and the simulator waited for it to go by itself.
            57169,
            // A watcher was told that it had been sent everything before it was told that its place was compacted.
            132117,
            // A batch that was lost with its server was appended again just as it was, and the simulator took the two for different.
            400222,
            // Peace had a stopped process go on, but not its threads, which stayed away for as long as it was to be stopped.
            201366,
            // The first statement of a deletion met a log that did not know of the compaction, the others one that knew of another to the
            // same revision: what was left of a deleted key was its oldest put.
            244731,
            // Values that were not in memory were read by position from a log that had other rows there.
            294265, 308276,
            // A lease that was found due expired on a server that lacked its last keep-alive.
            305644,
            // How far deleting had come was said while the duty had lapsed, and never again.
            504061,
            // A key came back: the log was loaded from a server that had deleted more of its rows than the one that took over.
            1_116_449,
            // The same, as parts of a deletion were lost that no server had told of.
            1096,
            // The same, as a process that had forgotten what another deleted took an older state of the log for what it knew.
            1_452_031,
            // What one compaction had left for the next was taken for gone: by the next, and by adding up what two stewards had said.
            1063, 1_340_992,
            // Once the log had been moved on, a steward with more dead rows than one deletion takes loaded it anew again and again.
            1842, 1933,
            // What others had at a lost revision was compacted away before anybody had compared it with what was lost.
            1_092_320,
        ] as [UInt64])
    func keptSeeds(seed: UInt64) {
        #expect(Simulation.run(seed: seed, world: .light).failure == nil)
    }

    @Test("Fresh seeds are fine")
    func freshSeeds() {
        let first = UInt64.random(in: 1...1 << 32)
        for seed in first..<first + 40 {
            let failure = Simulation.run(seed: seed).failure
            #expect(failure == nil, "seed \(seed): swift run -c release simulate --seed \(seed) --verbose")
        }
    }

    @Test("Fresh seeds are fine where the log is given its digest key while it is at work")
    func lateKeys() {
        let first = UInt64.random(in: 1...1 << 32)
        for seed in first..<first + 10 {
            let failure = Simulation.run(seed: seed, hasLateKey: true).failure
            #expect(failure == nil, "seed \(seed): swift run -c release simulate --seed \(seed) --late-key --verbose")
        }
    }

    @Test("Appends are sent behind others in most runs")
    func pipelined() {
        let pipelined = (1...20 as ClosedRange<UInt64>).filter { Simulation.run(seed: $0, world: .light).pipelinedAppends > 0 }
        #expect(pipelined.count >= 10)
    }

    @Test("A seed plays the same way again")
    func playsAgain() {
        for seed in 1...10 as ClosedRange<UInt64> {
            #expect(Simulation.run(seed: seed) == Simulation.run(seed: seed))
        }
    }
}
