// Owns: who asks the engine, by index: where the answers to their calls go.
// Invariant: an index is given once and for good; nobody asks before he has one.
internal import Bytes
internal import Calls
internal import Replica
internal import Synchronization

/// What the engine says to one call.
typealias CallAnswer = (call: CallID, answer: Answer)

final class Callers: Sendable {
    /// Takes what a turn has for the calls of one caller; on the thread that was at it, which must not be kept.
    typealias Delivery = @Sendable ([CallAnswer]) -> Void

    private let deliveries = Mutex<[Delivery]>([])
    private let registered = Atomic(0)

    /// There is a byte for them in a call's id.
    private static let limit = 256

    /// How many there are. Whoever has taken what a caller asked finds it counted.
    var count: Int { registered.load(ordering: .acquiring) }

    /// Gives a new caller its index.
    func register(_ delivery: @escaping Delivery) -> Int {
        deliveries.withLock { deliveries in
            invariant(deliveries.count < Self.limit, "more than \(Self.limit) callers")
            deliveries.append(delivery)
            registered.store(deliveries.count, ordering: .releasing)
            return deliveries.count - 1
        }
    }

    func deliver(_ answers: [CallAnswer], to index: Int) {
        deliveries.withLock { $0[index] }(answers)
    }
}
