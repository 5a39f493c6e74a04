internal import Metrics
internal import TestSupport
internal import Testing

@Suite("Metrics as text", .ownThreads)
struct ExpositionTests {
    @Test("What is written reads back the same, labels that need escapes included")
    func roundTrip() throws {
        var exposition = Exposition()
        exposition.counter("a_total", "Counts \\ a\nnewline.", 7)
        exposition.gauge("b", "A gauge.", -0.25)
        exposition.gauge("c", "Whether.", true)
        exposition.counters(
            "d_total", "With labels.",
            [([MetricLabel("x", "a\"b\\c\nd")], 1), ([MetricLabel("x", "é"), MetricLabel("y", "")], 2)])
        exposition.info("e", "Says.", MetricLabel("version", "1"))
        let text = try PrometheusText(exposition.text)
        #expect(try text.value("a_total") == 7)
        #expect(text.families["a_total"]?.help == "Counts \\\\ a\\nnewline.")
        #expect(try text.value("b") == -0.25)
        #expect(try text.value("c") == 1)
        #expect(try text.value("d_total", ["x": "a\"b\\c\nd"]) == 1)
        #expect(try text.value("d_total", ["x": "é", "y": ""]) == 2)
        #expect(try text.value("e", ["version": "1"]) == 1)
        #expect(text.families.mapValues(\.type) == ["a_total": "counter", "b": "gauge", "c": "gauge", "d_total": "counter", "e": "gauge"])
    }

    @Test("A histogram's buckets are cumulative, and a value on a bound belongs to its bucket")
    func histogram() throws {
        var histogram = Histogram([0.001, 0.5, 2])
        for value in [0.0005, 0.001, 0.002, 0.5, 1, 2, 2.5, 100] { histogram.observe(value) }
        var twice = histogram
        twice.add(histogram)
        var exposition = Exposition()
        exposition.histograms("h_seconds", "Once and twice.", [([MetricLabel("n", "1")], histogram), ([MetricLabel("n", "2")], twice)])
        exposition.histogram("none_seconds", "Nothing yet.", Histogram(Histogram.roundTripBounds))
        let text = try PrometheusText(exposition.text)
        for (bound, count) in [("0.001", 2.0), ("0.5", 4), ("2", 6), ("+Inf", 8)] {
            #expect(try text.value("h_seconds_bucket", ["n": "1", "le": bound]) == count)
            #expect(try text.value("h_seconds_bucket", ["n": "2", "le": bound]) == 2 * count)
        }
        #expect(abs(try #require(try text.value("h_seconds_sum", ["n": "1"])) - 106.0035) < 1e-9)
        #expect(try text.value("h_seconds_count", ["n": "2"]) == 16)
        // Etcd's bounds are among ours, by the same text.
        for bound in ["0.001", "0.002", "0.064", "1.024", "8.192", "+Inf"] {
            #expect(try text.value("none_seconds_bucket", ["le": bound]) == 0)
        }
    }

    @Test(
        "The tests' reader takes no text that breaks a rule",
        arguments: [
            "a 1\n", "# HELP a b\na 1\n", "# HELP a b\n# TYPE a counter\na 1", "# HELP a b\n# TYPE a counter\na -1\n",
            "# HELP a b\n# TYPE a gauge\na 1\na 1\n", "# HELP a b\n# TYPE a gauge\na{x=\"1\" 1\n", "# HELP a b\n# TYPE a gauge\nb 1\n",
            "# HELP a b\n# TYPE a gauge\na one\n", "# HELP a b\n# TYPE a gauge\na{x=\"1\",x=\"2\"} 1\n",
            "# HELP a b\n# TYPE a gauge\na 1\n# HELP a b\n# TYPE a gauge\n", "# HELP a b\n# TYPE a sum\na 1\n",
            "# HELP h b\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
            "# HELP h b\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n",
            "# HELP h b\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 1\n",
        ])
    func strict(text: String) {
        #expect(throws: PrometheusError.self) { try PrometheusText(text) }
    }
}
