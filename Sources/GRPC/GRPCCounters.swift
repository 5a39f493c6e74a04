// Owns: what one loop has counted since it started. Whoever wants totals adds up the loops.
internal import Calls
package import Metrics

package struct GRPCCounters: Sendable, Equatable {
    package struct Method: Sendable, Equatable {
        package var started = 0
        /// Calls ended, by status code.
        package var finished = [Int](repeating: 0, count: GRPCStatus.Code.allCases.count)
        package var messagesReceived = 0
        package var messagesSent = 0
        /// Bytes of messages, without prefixes and frames, as handed over.
        package var bytesReceived = 0
        package var bytesSent = 0
        /// How long calls took that have ended, in seconds.
        package var handling = Histogram(Histogram.callBounds)

        package init() {}

        /// Counts what another loop has counted.
        package mutating func add(_ other: Method) {
            started += other.started
            for index in finished.indices { finished[index] += other.finished[index] }
            messagesReceived += other.messagesReceived
            messagesSent += other.messagesSent
            bytesReceived += other.bytesReceived
            bytesSent += other.bytesSent
            handling.add(other.handling)
        }
    }

    /// Calls that came with one value of the field that the server counts by.
    package struct FieldValue: Sendable, Equatable {
        package enum Value: Sendable, Hashable {
            case absent
            /// One of too many, or none that can be shown.
            case other
            case text(String)
        }

        package var value: Value
        package var unary = 0
        package var streams = 0
    }

    /// By the method's index.
    package var methods: [Method]
    /// Each value once.
    package var fieldValues: [FieldValue] = []
    /// Requests that came to no call: unknown methods, malformed headers.
    package var refused = 0
}

/// The same while it is being counted: plain memory, a row for each method.
struct CounterTable {
    private static let codeCount = GRPCStatus.Code.allCases.count
    /// The buckets' upper bounds in nanoseconds.
    private static let bounds = Histogram.callBounds.map { UInt64($0 * 1e9) }
    private static let firstBucket = 5 + codeCount
    private static let sum = firstBucket + Histogram.callBounds.count + 1
    private static let rowSize = sum + 1
    /// Most calls take less: they need no search.
    private static let firstBound: UInt64 = 5_000_000
    private let counts: UnsafeMutablePointer<Int>
    private let methodCount: Int

    init(methodCount: Int) {
        self.methodCount = methodCount
        counts = .allocate(capacity: methodCount * CounterTable.rowSize + 1)
        counts.initialize(repeating: 0, count: methodCount * CounterTable.rowSize + 1)
    }

    func deallocate() { counts.deallocate() }

    @inline(__always)
    private func row(_ method: MethodIndex) -> UnsafeMutablePointer<Int> { counts + method.rawValue * CounterTable.rowSize }

    @inline(__always)
    func started(_ method: MethodIndex) { row(method)[0] += 1 }

    @inline(__always)
    func received(_ method: MethodIndex, _ byteCount: Int) {
        row(method)[1] += 1
        row(method)[2] += byteCount
    }

    @inline(__always)
    func sent(_ method: MethodIndex, _ byteCount: Int) {
        row(method)[3] += 1
        row(method)[4] += byteCount
    }

    @inline(__always)
    func finished(_ method: MethodIndex, _ code: GRPCStatus.Code, after nanoseconds: UInt64) {
        let row = row(method)
        row[5 + Int(code.rawValue)] += 1
        // A sum over very many very long streams wraps, which Prometheus takes for a restart.
        row[CounterTable.sum] &+= Int(truncatingIfNeeded: nanoseconds)
        let bucket = nanoseconds <= CounterTable.firstBound ? 0 : CounterTable.bucket(nanoseconds)
        row[CounterTable.firstBucket + bucket] += 1
    }

    private static func bucket(_ nanoseconds: UInt64) -> Int {
        bounds.firstIndex { nanoseconds <= $0 } ?? bounds.count
    }

    func refused() { counts[methodCount * CounterTable.rowSize] += 1 }

    var snapshot: GRPCCounters {
        var methods: [GRPCCounters.Method] = []
        for index in 0..<methodCount {
            let row = row(MethodIndex(rawValue: index))
            var method = GRPCCounters.Method()
            method.started = row[0]
            method.messagesReceived = row[1]
            method.bytesReceived = row[2]
            method.messagesSent = row[3]
            method.bytesSent = row[4]
            method.finished = (0..<CounterTable.codeCount).map { row[5 + $0] }
            method.handling = Histogram(
                Histogram.callBounds, counts: (0...Histogram.callBounds.count).map { UInt64(row[CounterTable.firstBucket + $0]) },
                sum: Double(UInt(bitPattern: row[CounterTable.sum])) / 1e9)
            methods.append(method)
        }
        return GRPCCounters(methods: methods, refused: counts[methodCount * CounterTable.rowSize])
    }
}
