// Owns: what the TLS connections of one event loop share: handshakes under way, their bounds and their pace, and the buffer
//       that is decrypted into.
// Must never: be touched off its event loop.
// Invariant: `underWay` counts the handlers that were admitted and neither finished nor gave up.
internal import Glibc
internal import NIOCore

final class TLSLoop {
    private let eventLoop: any EventLoop
    let limits: TLSLimits
    private var pace: HandshakePace
    /// Handshakes in the order in which they began. Those that ended stay until they are in the way.
    private var byAge: CircularBuffer<TLSHandler> = []
    private(set) var counters = TLSCounters()
    var underWay: Int { counters.underWay }
    /// Handshakes that have something to work on, while the loop rests from them.
    private var waiting: CircularBuffer<TLSHandler> = []
    private var isPassing = false
    private var expiry: Scheduled<Void>?

    /// Decrypted bytes on their way up. Whoever is given it must not keep it, or it is made anew.
    private var scratch: ByteBuffer?
    static let scratchSize = 64 << 10

    init(eventLoop: any EventLoop, limits: TLSLimits) {
        self.eventLoop = eventLoop
        self.limits = limits
        pace = HandshakePace(sliceUs: limits.handshakeSliceUs)
    }

    var now: UInt64 { NIODeadline.now().uptimeNanoseconds }

    func takeScratch() -> ByteBuffer {
        defer { scratch = nil }
        return scratch ?? ByteBufferAllocator().buffer(capacity: TLSLoop.scratchSize)
    }

    func giveBack(scratch: ByteBuffer) { self.scratch = scratch }

    // MARK: Number and time

    /// Counts a connection among the handshakes under way. One too many, and an old one has to go: rather one that has sent
    /// nothing yet than one that has.
    func admit(_ handler: TLSHandler) {
        if underWay >= limits.handshakesLimit {
            let live = byAge.lazy.filter { $0.isUnderWay }
            let victim = live.first { $0.hasSentNothing } ?? live.first
            victim?.giveUp(.crowdedOut, "too many handshakes are under way")
        }
        if byAge.count >= 2 * limits.handshakesLimit { byAge.removeAll { !$0.isUnderWay } }
        byAge.append(handler)
        counters.underWay += 1
        scheduleExpiry()
    }

    /// The handshake of a connection that was admitted is over, one way or the other.
    func finished(_ outcome: TLSOutcome) {
        counters.underWay -= 1
        counters.ended[outcome, default: 0] += 1
    }

    private func scheduleExpiry() {
        guard expiry == nil else { return }
        while let first = byAge.first, !first.isUnderWay { byAge.removeFirst() }
        guard let oldest = byAge.first else { return }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        expiry = eventLoop.scheduleTask(deadline: oldest.handshakeDeadline) {
            let loop = bound.value
            loop.expiry = nil
            let now = NIODeadline.now()
            while let first = loop.byAge.first, !first.isUnderWay || first.handshakeDeadline <= now {
                loop.byAge.removeFirst()
                if first.isUnderWay { first.giveUp(.timedOut, "the handshake took too long") }
            }
            loop.scheduleExpiry()
        }
    }

    // MARK: Pace

    /// Lets `handler` work on what its peer sent, now or when it is its turn.
    func pass(_ handler: TLSHandler) {
        if waiting.isEmpty && pace.wait(now: now) == 0 {
            work(handler)
            return
        }
        if waiting.count >= 2 * limits.handshakesLimit { waiting.removeAll { !$0.isUnderWay } }
        waiting.append(handler)
        schedulePass()
    }

    /// Counts the thread's time, not that of the clock: others may have had the core.
    private func work(_ handler: TLSHandler) {
        let began = threadTime
        handler.advance()
        pace.worked(threadTime - began, now: now)
    }

    /// Nanoseconds of CPU that this thread has had.
    private var threadTime: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    private func schedulePass() {
        guard !isPassing, !waiting.isEmpty else { return }
        isPassing = true
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.scheduleTask(in: .nanoseconds(Int64(pace.wait(now: now)))) {
            let loop = bound.value
            loop.isPassing = false
            while let first = loop.waiting.first, !first.isUnderWay || loop.pace.wait(now: loop.now) == 0 {
                loop.waiting.removeFirst()
                if first.isUnderWay { loop.work(first) }
            }
            loop.schedulePass()
        }
    }
}
