// Checks the binary search against a linear one, for every small range, and seeded chance against the published numbers.
import Bytes
import Testing

@Suite("Binary search and seeded chance")
struct SearchTests {
    @Test("the first index that satisfies a condition is found, whatever the range, and none where none does")
    func partitioning() {
        for low in 0..<4 {
            for high in low..<(low + 20) {
                for first in low...high {
                    var asked: [Int] = []
                    let found = (low..<high).partitioningIndex {
                        asked.append($0)
                        return $0 >= first
                    }
                    #expect(found == first)
                    #expect(asked.allSatisfy { low <= $0 && $0 < high } && asked.count <= 5)
                    #expect(found == high || asked.contains(found))
                }
            }
        }
    }

    @Test("a seed gives the numbers that its authors' code gives")
    func numbers() {
        var random = SplitMix64(seed: 1_234_567)
        let numbers = (0..<5).map { _ in random.next() }
        #expect(
            numbers == [
                6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423, 4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ])
    }
}
