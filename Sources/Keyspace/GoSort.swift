// Owns: the order in which a sorted Range gives keys that compare equal.
//
// etcd sorts with Go's sort.Sort, which isn't stable, so that order is what its algorithm happens to leave: a
// pattern-defeating quicksort (Orson Peters, arXiv:2106.05123) with Go's constants. Clients that page through a sorted
// range depend on it without knowing. This takes the same decisions with the same constants, so ties come out alike.

extension Array {
    /// Sorts with the decisions of Go's sort.Sort. Not stable. O(n log n).
    mutating func goSort(by precedes: (Element, Element) -> Bool) {
        guard count > 1 else { return }
        withoutActuallyEscaping(precedes) { order in
            withUnsafeMutableBufferPointer { elements in
                Sorter(elements: elements, order: order)
                    .sort(0..<elements.count, badPivotsLeft: Int.bitWidth - elements.count.leadingZeroBitCount)
            }
        }
    }
}

/// Below this length insertion is the best sort.
private let insertionLength = 12
/// From this length on the pivot is the median of three medians.
private let nintherLength = 50
/// How many misplaced elements a range may have to be finished by moving just those, and how long it must be for that.
private let movedElementLimit = 5
private let movingLength = 50

private struct Sorter<Element> {
    let elements: UnsafeMutableBufferPointer<Element>
    let order: (Element, Element) -> Bool

    private func precedes(_ a: Int, _ b: Int) -> Bool { order(elements[a], elements[b]) }

    private enum Hint {
        case unknown
        case ascending
        case descending
    }

    func sort(_ whole: Range<Int>, badPivotsLeft: Int) {
        var range = whole
        var badPivotsLeft = badPivotsLeft
        var wasBalanced = true
        var wasPartitioned = true
        while range.count > insertionLength {
            if badPivotsLeft == 0 {
                heapSort(range)
                return
            }
            if !wasBalanced {
                breakPatterns(range)
                badPivotsLeft -= 1
            }
            var (pivot, hint) = choosePivot(range)
            if hint == .descending {
                reverse(range)
                pivot = range.upperBound - 1 - (pivot - range.lowerBound)
                hint = .ascending
            }
            if wasBalanced, wasPartitioned, hint == .ascending, moveFewMisplaced(range) { return }
            // The element before the range is no larger than any in it. If the pivot equals it, the pivot is a smallest one.
            if range.lowerBound > 0, !precedes(range.lowerBound - 1, pivot) {
                range = partitionEqual(range, pivot)..<range.upperBound
                continue
            }
            let middle: Int
            (middle, wasPartitioned) = partition(range, pivot)
            let left = range.lowerBound..<middle
            let right = middle + 1..<range.upperBound
            let enough = range.count / 8
            // The right side counts with the pivot.
            if left.count < right.count + 1 {
                wasBalanced = left.count >= enough
                sort(left, badPivotsLeft: badPivotsLeft)
                range = right
            } else {
                wasBalanced = right.count + 1 >= enough
                sort(right, badPivotsLeft: badPivotsLeft)
                range = left
            }
        }
        insertionSort(range)
    }

    private func swap(_ a: Int, _ b: Int) { elements.swapAt(a, b) }

    private func insertionSort(_ range: Range<Int>) {
        for start in range.dropFirst() {
            var index = start
            while index > range.lowerBound, precedes(index, index - 1) {
                swap(index, index - 1)
                index -= 1
            }
        }
    }

    // MARK: Partitioning

    /// Smaller elements, the pivot, the others. Where the pivot went, and whether it was like that before.
    private func partition(_ range: Range<Int>, _ pivot: Int) -> (middle: Int, wasPartitioned: Bool) {
        let first = range.lowerBound
        swap(first, pivot)
        var low = first + 1
        var high = range.upperBound - 1
        var swapped = false
        while true {
            while low <= high, precedes(low, first) { low += 1 }
            while low <= high, !precedes(high, first) { high -= 1 }
            if low > high { break }
            swap(low, high)
            swapped = true
            low += 1
            high -= 1
        }
        swap(high, first)
        return (high, !swapped)
    }

    /// Elements equal to the pivot, then larger ones; there are no smaller ones. Where the larger ones start.
    private func partitionEqual(_ range: Range<Int>, _ pivot: Int) -> Int {
        let first = range.lowerBound
        swap(first, pivot)
        var low = first + 1
        var high = range.upperBound - 1
        while true {
            while low <= high, !precedes(first, low) { low += 1 }
            while low <= high, precedes(first, high) { high -= 1 }
            if low > high { return low }
            swap(low, high)
            low += 1
            high -= 1
        }
    }

    // MARK: Ranges that are nearly sorted

    /// Sorts a range in which few neighbours are out of order; false where it gave up.
    private func moveFewMisplaced(_ range: Range<Int>) -> Bool {
        var index = range.lowerBound + 1
        for _ in 0..<movedElementLimit {
            while index < range.upperBound, !precedes(index, index - 1) { index += 1 }
            if index == range.upperBound { return true }
            if range.count < movingLength { return false }
            swap(index, index - 1)
            if index - range.lowerBound >= 2 {
                var moving = index - 1
                while moving >= 1, precedes(moving, moving - 1) {
                    swap(moving, moving - 1)
                    moving -= 1
                }
            }
            if range.upperBound - index >= 2 {
                var moving = index + 1
                while moving < range.upperBound, precedes(moving, moving - 1) {
                    swap(moving, moving - 1)
                    moving += 1
                }
            }
        }
        return false
    }

    private func reverse(_ range: Range<Int>) {
        var low = range.lowerBound
        var high = range.upperBound - 1
        while low < high {
            swap(low, high)
            low += 1
            high -= 1
        }
    }

    /// Swaps three elements in the middle with others chosen by a generator that starts from the length.
    private func breakPatterns(_ range: Range<Int>) {
        var random = UInt64(range.count)
        let mask = UInt64(1) << UInt64(Int.bitWidth - range.count.leadingZeroBitCount) - 1
        let middle = range.lowerBound + range.count / 4 * 2
        for offset in -1...1 {
            random ^= random << 13
            random ^= random >> 7
            random ^= random << 17
            var other = Int(random & mask)
            if other >= range.count { other -= range.count }
            swap(middle + offset, range.lowerBound + other)
        }
    }

    // MARK: The pivot

    private func choosePivot(_ range: Range<Int>) -> (pivot: Int, Hint) {
        let quarter = range.count / 4
        var low = range.lowerBound + quarter
        var middle = range.lowerBound + quarter * 2
        var high = range.lowerBound + quarter * 3
        var inversions = 0
        if range.count >= nintherLength {
            low = median(low - 1, low, low + 1, &inversions)
            middle = median(middle - 1, middle, middle + 1, &inversions)
            high = median(high - 1, high, high + 1, &inversions)
        }
        middle = median(low, middle, high, &inversions)
        // Four medians of three comparisons each: all of them inverted means that the range descends.
        return (middle, inversions == 0 ? .ascending : inversions == 12 ? .descending : .unknown)
    }

    private func median(_ a: Int, _ b: Int, _ c: Int, _ inversions: inout Int) -> Int {
        var (a, b, c) = (a, b, c)
        order(&a, &b, &inversions)
        order(&b, &c, &inversions)
        order(&a, &b, &inversions)
        return b
    }

    private func order(_ a: inout Int, _ b: inout Int, _ inversions: inout Int) {
        if precedes(b, a) {
            Swift.swap(&a, &b)
            inversions += 1
        }
    }

    // MARK: Where pivots were bad too often

    private func heapSort(_ range: Range<Int>) {
        let count = range.count
        for root in stride(from: (count - 1) / 2, through: 0, by: -1) { siftDown(root, count, range.lowerBound) }
        for end in stride(from: count - 1, through: 0, by: -1) {
            swap(range.lowerBound, range.lowerBound + end)
            siftDown(0, end, range.lowerBound)
        }
    }

    private func siftDown(_ start: Int, _ end: Int, _ first: Int) {
        var root = start
        while true {
            var child = 2 * root + 1
            if child >= end { return }
            if child + 1 < end, precedes(first + child, first + child + 1) { child += 1 }
            if !precedes(first + root, first + child) { return }
            swap(first + root, first + child)
            root = child
        }
    }
}
