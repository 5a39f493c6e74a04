// Owns: binary search.

extension Range<Int> {
    /// The first index for which `belongsBehind` is true; the upper bound where there is none. It must be false up to some index and true
    /// from there. Asks O(log n) times, and also about that index.
    @inlinable
    @inline(__always)
    public func partitioningIndex(where belongsBehind: (Int) -> Bool) -> Int {
        var low = lowerBound
        var high = upperBound
        while low < high {
            let middle = (low + high) / 2
            if belongsBehind(middle) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
