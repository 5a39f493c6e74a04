// Owns: the numbers of lease commands, by which the log's answers are told apart.
// Invariant: no number is given out twice, whatever becomes of the one who asked.

struct LeaseNumbers {
    private var next: UInt64 = 1

    mutating func take() -> UInt64 {
        defer { next += 1 }
        return next
    }
}
