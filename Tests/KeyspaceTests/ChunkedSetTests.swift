// Owns: checks of the ordered set in chunks against Swift's own set.
import Keyspace
import Testing

@Suite("The ordered set in chunks")
struct ChunkedSetTests {
    @Test("Elements that leave from the front, from the back and from anywhere leave the others in order", arguments: [1, 2, 7])
    func removal(stride step: Int) {
        var set = ChunkedSet<Int>()
        var model = Set<Int>()
        for element in 0..<2_000 {
            let inserted = (element * 7) % 2_000
            let isNew = set.insert(inserted)
            #expect(isNew == model.insert(inserted).inserted)
        }
        let copy = set
        // With a step of 1 each is the first that is left, with others most are not.
        for number in 0..<2_000 {
            let element = (number * step) % 2_000
            let (wasThere, isThere) = (set.remove(element), set.remove(element))
            let wasExpected = model.remove(element) != nil
            #expect(wasThere == wasExpected && !isThere)
            if number % 100 == 0 { #expect(Array(set) == model.sorted()) }
        }
        #expect(Array(set) == model.sorted() && set.count == model.count)
        #expect(Array(copy) == Array(0..<2_000))
    }
}
