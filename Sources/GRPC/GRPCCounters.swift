// Owns: what one loop has counted since it started. Whoever wants totals adds up the loops.

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

        package init() {}
    }

    /// By the method's index.
    package var methods: [Method]
    /// Requests that came to no call: unknown methods, malformed headers.
    package var refused = 0
}

/// The same while it is being counted: plain memory, a row for each method.
struct CounterTable {
    private static let codeCount = GRPCStatus.Code.allCases.count
    private static let rowSize = 5 + codeCount
    private let counts: UnsafeMutablePointer<Int>
    private let methodCount: Int

    init(methodCount: Int) {
        self.methodCount = methodCount
        counts = .allocate(capacity: methodCount * CounterTable.rowSize + 1)
        counts.initialize(repeating: 0, count: methodCount * CounterTable.rowSize + 1)
    }

    func deallocate() { counts.deallocate() }

    @inline(__always)
    private func row(_ method: Int) -> UnsafeMutablePointer<Int> { counts + method * CounterTable.rowSize }

    @inline(__always)
    func started(_ method: Int) { row(method)[0] += 1 }

    @inline(__always)
    func received(_ method: Int, _ byteCount: Int) {
        row(method)[1] += 1
        row(method)[2] += byteCount
    }

    @inline(__always)
    func sent(_ method: Int, _ byteCount: Int) {
        row(method)[3] += 1
        row(method)[4] += byteCount
    }

    @inline(__always)
    func finished(_ method: Int, _ code: GRPCStatus.Code) { row(method)[5 + Int(code.rawValue)] += 1 }

    func refused() { counts[methodCount * CounterTable.rowSize] += 1 }

    var snapshot: GRPCCounters {
        var methods: [GRPCCounters.Method] = []
        for index in 0..<methodCount {
            let row = row(index)
            var method = GRPCCounters.Method()
            method.started = row[0]
            method.messagesReceived = row[1]
            method.bytesReceived = row[2]
            method.messagesSent = row[3]
            method.bytesSent = row[4]
            method.finished = (0..<CounterTable.codeCount).map { row[5 + $0] }
            methods.append(method)
        }
        return GRPCCounters(methods: methods, refused: counts[methodCount * CounterTable.rowSize])
    }
}
