import Synchronization
import TestSupport

/// What another thread found out.
final class Answer<Value: Sendable>: Sendable {
    private let result = Mutex<Result<Value, any Error>?>(nil)

    func fill(_ body: () throws -> Value) {
        let found = Result { try body() }
        result.withLock { $0 = found }
    }

    /// Throws what `body` threw, or that it has not ended.
    func get() throws -> Value {
        guard let result = result.withLock({ $0 }) else { throw TestSupportError("no answer yet") }
        return try result.get()
    }
}
