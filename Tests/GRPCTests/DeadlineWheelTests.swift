internal import Testing

@testable import GRPC

@Suite("The deadline wheel")
struct DeadlineWheelTests {
    private let tick = DeadlineWheel.tick
    private let turn = DeadlineWheel.tick * UInt64(DeadlineWheel.bucketCount)

    @Test("A deadline fires never early and at most a tick late, however far away")
    func timing() {
        for start in [0, 1, tick - 1, 5 * turn + 123] {
            for delay in [0, 1, tick - 1, tick, tick + 1, 100 * tick, turn - 1, turn, turn + 1, 3 * turn + 7] {
                var wheel = DeadlineWheel(now: start)
                wheel.insert(3, deadline: start + delay)
                var fired: UInt64?
                while fired == nil, let wake = wheel.nextWake() {
                    var expired: [Int] = []
                    wheel.expire(now: wake, into: &expired)
                    if expired == [3] { fired = wake }
                }
                #expect(fired != nil)
                #expect(fired! >= start + delay && fired! <= start + delay + 2 * tick, "\(start) \(delay) \(fired!)")
                #expect(wheel.count == 0 && wheel.nextWake() == nil)
            }
        }
    }

    @Test("It does what a list of all deadlines would")
    func model() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<50 {
            var now = UInt64.random(in: 0..<(3 * turn), using: &random)
            var wheel = DeadlineWheel(now: now)
            var model: [Int: UInt64] = [:]
            for _ in 0..<2_000 {
                let slot = Int.random(in: 0..<64, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0, 1:
                    if model[slot] == nil {
                        let far = Bool.random(using: &random) ? 2 * turn : 50 * tick
                        model[slot] = now + UInt64.random(in: 0..<far, using: &random)
                        wheel.insert(slot, deadline: model[slot]!)
                    }
                case 2:
                    wheel.remove(slot)
                    model[slot] = nil
                default:
                    now += UInt64.random(in: 0..<(20 * tick), using: &random)
                    var expired: [Int] = []
                    wheel.expire(now: now, into: &expired)
                    for slot in expired {
                        #expect(model[slot] != nil && model[slot]! <= now)
                        model[slot] = nil
                    }
                    // Whatever passed more than two ticks ago is gone.
                    #expect(model.values.allSatisfy { $0 + 2 * tick > now })
                }
                #expect(wheel.count == model.count)
                if let soonest = model.values.min() {
                    #expect(wheel.nextWake()! <= max(soonest, now) + 2 * tick)
                }
            }
        }
    }
}
