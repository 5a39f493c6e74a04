// Owns: seeds of heavy worlds that failed before Pine bounded what a turn does.
import Simulation
import Testing

@Suite struct HeavySeedsTests {
    @Test(
        "Heavy seeds that once failed are fine",
        arguments: [
            // A transaction of many Ranges was answered in one turn, however many keys they looked at.
            (HeavyTraits.reads, 1), (.reads, 9),
            // All keys of a Range were sorted in one turn.
            (.reads, 4), (.reads, 15),
            // So were Ranges inside of write transactions, which kept small puts waiting.
            (.writeTxns, 1), (.writeTxns, 3), (.writeTxns, 9),
            // Reads from memory were answered before it was noticed that their clients had given up.
            (.abandoned, 5), (.abandoned, 12),
            // Whatever had arrived was answered in one turn.
            (.abandoned, 4), (.abandoned, 9),
            // A long deletion began in the turn that ended an expired lease's revoke, and its first rows counted for the head that was appended.
            (.all, 237),
        ] as [(HeavyTraits, UInt64)])
    func keptSeeds(traits: HeavyTraits, seed: UInt64) {
        #expect(Simulation.run(seed: seed, world: .heavy(traits, rules: .patient)).failure == nil)
    }
}
