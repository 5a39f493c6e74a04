// Owns: the deadlines of one loop's calls, so that arming and disarming one costs a few instructions: most calls end long
//       before.
// Must never: read a clock or start a timer; the caller asks `nextWake` when to look again.
// Invariants: a slot is in at most one bucket's list; a bucket's bit is set where its list isn't empty.

/// A hashed timing wheel over slot numbers. Times are nanoseconds of one clock that doesn't go back. A deadline fires up
/// to one tick late, never early.
struct DeadlineWheel {
    static let tick: UInt64 = 4_000_000
    static let bucketCount = 4_096
    private static let none = UInt32.max

    private struct Link {
        var next = DeadlineWheel.none
        var previous = DeadlineWheel.none
        var deadline: UInt64 = 0
        /// -1 where the slot isn't armed.
        var bucket: Int32 = -1
    }

    private var links: [Link] = []
    private var heads = [UInt32](repeating: none, count: bucketCount)
    private var occupied = [UInt64](repeating: 0, count: bucketCount / 64)
    /// All ticks up to this one are done.
    private var doneTick: UInt64
    /// Slots that are armed.
    private(set) var count = 0

    init(now: UInt64) {
        doneTick = now / DeadlineWheel.tick
    }

    /// The tick at whose end `deadline` has passed for sure.
    private static func tick(of deadline: UInt64) -> UInt64 { deadline / tick + 1 }

    /// Arms `slot`, which must not be armed. Returns the time at which the deadline will be noticed.
    @discardableResult
    mutating func insert(_ slot: Int, deadline: UInt64) -> UInt64 {
        while links.count <= slot { links.append(Link()) }
        let tick = max(DeadlineWheel.tick(of: deadline), doneTick + 1)
        let bucket = Int(tick % UInt64(DeadlineWheel.bucketCount))
        let head = heads[bucket]
        links[slot] = Link(next: head, previous: DeadlineWheel.none, deadline: deadline, bucket: Int32(bucket))
        if head != DeadlineWheel.none { links[Int(head)].previous = UInt32(slot) }
        heads[bucket] = UInt32(slot)
        occupied[bucket >> 6] |= 1 << UInt64(bucket & 63)
        count += 1
        return tick * DeadlineWheel.tick
    }

    /// Disarms `slot`, if it is armed.
    mutating func remove(_ slot: Int) {
        guard slot < links.count, links[slot].bucket >= 0 else { return }
        let link = links[slot]
        let bucket = Int(link.bucket)
        if link.previous != DeadlineWheel.none {
            links[Int(link.previous)].next = link.next
        } else {
            heads[bucket] = link.next
            if link.next == DeadlineWheel.none { occupied[bucket >> 6] &= ~(1 << UInt64(bucket & 63)) }
        }
        if link.next != DeadlineWheel.none { links[Int(link.next)].previous = link.previous }
        links[slot].bucket = -1
        count -= 1
    }

    /// Disarms every slot whose deadline has passed and appends it to `expired`.
    mutating func expire(now: UInt64, into expired: inout [Int]) {
        let nowTick = now / DeadlineWheel.tick
        guard nowTick > doneTick else { return }
        if count > 0 {
            let steps = min(nowTick - doneTick, UInt64(DeadlineWheel.bucketCount))
            for tick in (nowTick - steps + 1)...nowTick {
                var slot = heads[Int(tick % UInt64(DeadlineWheel.bucketCount))]
                while slot != DeadlineWheel.none {
                    let link = links[Int(slot)]
                    // Those of a later turn of the wheel stay.
                    if DeadlineWheel.tick(of: link.deadline) <= nowTick {
                        remove(Int(slot))
                        expired.append(Int(slot))
                    }
                    slot = link.next
                }
            }
        }
        doneTick = nowTick
    }

    /// When to call `expire` next: the first time at which some bucket with something in it is due.
    func nextWake() -> UInt64? {
        if count == 0 { return nil }
        let first = Int((doneTick + 1) % UInt64(DeadlineWheel.bucketCount))
        for step in 0...occupied.count {
            let wordIndex = ((first >> 6) + step) % occupied.count
            var word = occupied[wordIndex]
            if step == 0 { word &= ~0 << UInt64(first & 63) }
            if step == occupied.count { word &= ~(~0 << UInt64(first & 63)) }
            guard word != 0 else { continue }
            let bucket = wordIndex << 6 + word.trailingZeroBitCount
            let distance = (bucket - first + DeadlineWheel.bucketCount) % DeadlineWheel.bucketCount
            return (doneTick + 1 + UInt64(distance)) * DeadlineWheel.tick
        }
        return nil
    }
}
