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

    init(methodCount: Int) {
        methods = Array(repeating: Method(), count: methodCount)
    }
}
