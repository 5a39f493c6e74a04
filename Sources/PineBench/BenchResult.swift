// Owns: what a run measured, in the form that is printed and written as JSON.
internal import Foundation
internal import Histogram

package struct LatencySummary: Codable, Sendable {
    /// Microseconds.
    package var mean: Double
    package var p50: Double
    package var p90: Double
    package var p99: Double
    package var p999: Double
    package var max: Double
    package var count: Int

    init?(_ latencies: Latencies) {
        guard latencies.totalCount > 0 else { return nil }
        func microseconds(_ percentile: Double) -> Double { Double(latencies.valueAtPercentile(percentile)) / 1_000 }
        mean = latencies.mean / 1_000
        p50 = microseconds(50)
        p90 = microseconds(90)
        p99 = microseconds(99)
        p999 = microseconds(99.9)
        max = Double(latencies.max) / 1_000
        count = Int(latencies.totalCount)
    }
}

/// One kind of request, or the events.
package struct BenchRow: Codable, Sendable {
    package var kind: String
    package var perSecond: Double
    package var latency: LatencySummary
    /// Percentile and microseconds, for the plot.
    package var curve: [[Double]]

    init?(kind: String, _ latencies: Latencies, seconds: Double) {
        guard let latency = LatencySummary(latencies), seconds > 0 else { return nil }
        self.kind = kind
        self.latency = latency
        perSecond = Double(latency.count) / seconds
        curve = Self.percentiles.map { [$0, Double(latencies.valueAtPercentile($0)) / 1_000] }
    }

    private static let percentiles: [Double] =
        stride(from: 0.0, to: 90, by: 5).map { $0 } + [90, 92.5, 95, 96, 97, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.98, 99.99, 100]
}

/// What the servers used, a request.
package struct ServerCost: Codable, Sendable {
    /// Microseconds of CPU a request: the server itself, and the processes that it started (PostgreSQL).
    package var serverMicroseconds: Double
    package var childMicroseconds: Double
    /// Bytes in memory at the end.
    package var serverMemory: Int
    package var childMemory: Int

    package var microseconds: Double { serverMicroseconds + childMicroseconds }
}

package struct BenchResult: Codable, Sendable {
    package var name: String
    package var workload: Workload
    package var endpoints: [String]
    package var connections: Int
    package var streams: Int
    /// Requests a second that were due; nil in a closed loop.
    package var rate: Double?
    package var keys: Int
    package var valueSize: Int
    package var watchers: Int
    package var watchersElsewhere: Int
    package var seed: UInt64
    package var seconds: Double
    package var requests: Int
    package var requestsPerSecond: Double
    package var bytesPerSecond: Double
    package var rows: [BenchRow]
    /// Events delivered, all watchers together, and how long after the write began.
    package var events: BenchRow?
    package var server: ServerCost?
    /// Microseconds of CPU a request that the load generator itself took, its watchers included.
    package var clientMicroseconds: Double
    /// How often which error came. Any makes the run worthless.
    package var errors: [String: Int]

    package var isGood: Bool { errors.isEmpty }
}
