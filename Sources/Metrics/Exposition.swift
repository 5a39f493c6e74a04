// Owns: the text format in which Prometheus reads metrics, version 0.0.4.
// Invariants: a family comes once, all its samples together; no two samples have one name and the same labels.
internal import Bytes

package struct MetricLabel: Sendable, Hashable {
    package var name: String
    package var value: String

    package init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

package struct Exposition: Sendable {
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    package private(set) var text = ""
    private var families: Set<String> = []

    package init() {}

    // MARK: Families of one sample

    package mutating func counter(_ name: String, _ help: String, _ value: some BinaryInteger) {
        begin(name, "counter", help)
        sample(name, [], "\(value)")
    }

    package mutating func counter(_ name: String, _ help: String, _ value: Double) {
        begin(name, "counter", help)
        sample(name, [], Exposition.number(value))
    }

    package mutating func gauge(_ name: String, _ help: String, _ value: some BinaryInteger) {
        begin(name, "gauge", help)
        sample(name, [], "\(value)")
    }

    package mutating func gauge(_ name: String, _ help: String, _ value: Double) {
        begin(name, "gauge", help)
        sample(name, [], Exposition.number(value))
    }

    package mutating func gauge(_ name: String, _ help: String, _ isSo: Bool) {
        gauge(name, help, isSo ? 1 : 0)
    }

    /// A gauge that is 1, for what its label says.
    package mutating func info(_ name: String, _ help: String, _ label: MetricLabel) {
        begin(name, "gauge", help)
        sample(name, [label], "1")
    }

    package mutating func histogram(_ name: String, _ help: String, _ histogram: Histogram) {
        histograms(name, help, [([], histogram)])
    }

    // MARK: Families of several samples

    package mutating func counters(_ name: String, _ help: String, _ samples: [(labels: [MetricLabel], value: UInt64)]) {
        begin(name, "counter", help)
        for (labels, value) in samples { sample(name, labels, "\(value)") }
    }

    package mutating func gauges(_ name: String, _ help: String, _ samples: [(labels: [MetricLabel], value: UInt64)]) {
        begin(name, "gauge", help)
        for (labels, value) in samples { sample(name, labels, "\(value)") }
    }

    package mutating func histograms(_ name: String, _ help: String, _ samples: [(labels: [MetricLabel], histogram: Histogram)]) {
        begin(name, "histogram", help)
        for (labels, histogram) in samples {
            var count: UInt64 = 0
            for (index, bound) in histogram.bounds.enumerated() {
                count += histogram.counts[index]
                sample(name + "_bucket", labels + [MetricLabel("le", Exposition.number(bound))], "\(count)")
            }
            sample(name + "_bucket", labels + [MetricLabel("le", "+Inf")], "\(histogram.count)")
            sample(name + "_sum", labels, Exposition.number(histogram.sum))
            sample(name + "_count", labels, "\(histogram.count)")
        }
    }

    // MARK: Lines

    private mutating func begin(_ name: String, _ type: String, _ help: String) {
        invariant(families.insert(name).inserted, "the metrics \(name) were written twice")
        text += "# HELP \(name) \(Quoted.prometheusHelp(help))\n# TYPE \(name) \(type)\n"
    }

    private mutating func sample(_ name: String, _ labels: [MetricLabel], _ value: String) {
        text += name
        var separator = "{"
        for label in labels {
            text += "\(separator)\(label.name)=\"\(Quoted.prometheusLabel(label.value))\""
            separator = ","
        }
        text += labels.isEmpty ? " \(value)\n" : "} \(value)\n"
    }

    /// Whole numbers without a point, as Go writes them.
    private static func number(_ value: Double) -> String {
        if value == value.rounded(), abs(value) < 1e6 { return "\(Int(value))" }
        if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
        return "\(value)"
    }
}
