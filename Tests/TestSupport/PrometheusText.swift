// Owns: a strict reader of Prometheus's text format, version 0.0.4: what a real scraper would forgive is an error here.

package struct PrometheusError: Error, CustomStringConvertible {
    package var description: String

    init(_ description: String) { self.description = description }
}

/// A page of metrics.
package struct PrometheusText {
    package struct Sample: Hashable {
        package var name: String
        package var labels: [String: String]
        package var value: Double
    }

    package struct Family {
        package var type: String
        package var help: String
        package var samples: [Sample] = []
    }

    package private(set) var families: [String: Family] = [:]

    /// Throws where the text breaks a rule of the format: HELP and TYPE once and first, samples of a family together, no sample
    /// twice, histograms complete and cumulative, names and numbers well-formed, a newline at the end.
    package init(_ text: String) throws {
        guard text.hasSuffix("\n") else { throw PrometheusError("no newline at the end") }
        var current: String?
        var seen: Set<String> = []
        let suffixes = ["histogram": ["_bucket", "_sum", "_count"], "summary": ["", "_sum", "_count"]]
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            if line.hasPrefix("# HELP ") {
                let parts = line.dropFirst(7).split(separator: " ", maxSplits: 1)
                guard parts.count == 2, Self.isName(parts[0]) else { throw PrometheusError("malformed: \(line)") }
                let name = String(parts[0])
                guard families[name] == nil else { throw PrometheusError("\(name) comes twice") }
                families[name] = Family(type: "", help: String(parts[1]))
                current = name
            } else if line.hasPrefix("# TYPE ") {
                let parts = line.dropFirst(7).split(separator: " ")
                guard parts.count == 2, let name = current, parts[0] == name, families[name]!.type.isEmpty,
                    ["counter", "gauge", "histogram", "summary"].contains(parts[1])
                else { throw PrometheusError("TYPE is not right after its HELP, or unknown: \(line)") }
                families[name]!.type = String(parts[1])
            } else {
                guard let family = current, !families[family]!.type.isEmpty else {
                    throw PrometheusError("a sample before its TYPE: \(line)")
                }
                let sample = try Self.sample(line)
                let suffixes = suffixes[families[family]!.type] ?? [""]
                guard suffixes.contains(where: { family + $0 == sample.name }) else {
                    throw PrometheusError("\(sample.name) stands among the samples of \(family)")
                }
                let identity = "\(sample.name)\(sample.labels.sorted { $0.key < $1.key })"
                guard seen.insert(identity).inserted else { throw PrometheusError("twice: \(line)") }
                if families[family]!.type == "counter", !(sample.value >= 0) { throw PrometheusError("negative counter: \(line)") }
                families[family]!.samples.append(sample)
            }
        }
        for (name, family) in families {
            guard !family.type.isEmpty else { throw PrometheusError("\(name) has no TYPE") }
            if family.type == "histogram" { try Self.checkHistogram(name, family) }
        }
    }

    /// The sample of this name with at least these labels, nil where there is none. More than one is an error.
    package func value(_ name: String, _ labels: [String: String] = [:]) throws -> Double? {
        let found = samples(name).filter { sample in labels.allSatisfy { sample.labels[$0.key] == $0.value } }
        guard found.count <= 1 else { throw PrometheusError("\(found.count) samples of \(name) with \(labels)") }
        return found.first?.value
    }

    package func samples(_ name: String) -> [Sample] {
        for suffix in ["", "_bucket", "_sum", "_count"] where name.hasSuffix(suffix) {
            if let family = families[String(name.dropLast(suffix.count))] { return family.samples.filter { $0.name == name } }
        }
        return []
    }

    /// The names that a query may use.
    package var sampleNames: Set<String> {
        Set(
            families.flatMap { name, family in
                family.type == "histogram" ? ["_bucket", "_sum", "_count"].map { name + $0 } : [name]
            })
    }

    // MARK: Lines

    private static func isName(_ text: Substring) -> Bool {
        guard let first = text.first, first.isASCII, first.isLetter || first == "_" || first == ":" else { return false }
        return text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_" || $0 == ":") }
    }

    private static func sample(_ line: Substring) throws -> Sample {
        var rest = line
        let name = rest.prefix { $0 != "{" && $0 != " " }
        guard isName(name) else { throw PrometheusError("malformed: \(line)") }
        rest = rest.dropFirst(name.count)
        var labels: [String: String] = [:]
        if rest.first == "{" {
            rest = rest.dropFirst()
            while true {
                let label = rest.prefix { $0 != "=" }
                guard isName(label), !label.contains(":") else { throw PrometheusError("malformed label: \(line)") }
                rest = rest.dropFirst(label.count)
                guard rest.hasPrefix("=\"") else { throw PrometheusError("malformed label: \(line)") }
                rest = rest.dropFirst(2)
                guard labels.updateValue(try quoted(&rest, line), forKey: String(label)) == nil else {
                    throw PrometheusError("a label comes twice: \(line)")
                }
                let next = rest.popFirst()
                if next == "}" { break }
                guard next == "," else { throw PrometheusError("malformed labels: \(line)") }
            }
        }
        guard rest.first == " " else { throw PrometheusError("no value: \(line)") }
        let text = rest.dropFirst()
        guard let value = text == "+Inf" ? .infinity : Double(text), !text.contains(" ") else {
            throw PrometheusError("malformed value: \(line)")
        }
        return Sample(name: String(name), labels: labels, value: value)
    }

    /// The text up to the closing quote, which is taken too.
    private static func quoted(_ rest: inout Substring, _ line: Substring) throws -> String {
        var text = ""
        while let character = rest.popFirst() {
            switch character {
            case "\"": return text
            case "\\":
                switch rest.popFirst() {
                case "\\": text += "\\"
                case "\"": text += "\""
                case "n": text += "\n"
                default: throw PrometheusError("unknown escape: \(line)")
                }
            default: text.append(character)
            }
        }
        throw PrometheusError("a label without an end: \(line)")
    }

    private static func checkHistogram(_ name: String, _ family: Family) throws {
        func others(_ sample: Sample) -> [String: String] { sample.labels.filter { $0.key != "le" } }
        for series in Set(family.samples.map(others)) {
            let samples = family.samples.filter { others($0) == series }
            let buckets = try samples.filter { $0.name.hasSuffix("_bucket") }.map { sample in
                guard let bound = sample.labels["le"].flatMap({ $0 == "+Inf" ? .infinity : Double($0) }) else {
                    throw PrometheusError("a bucket of \(name) without its bound")
                }
                return (bound: bound, count: sample.value)
            }
            guard zip(buckets, buckets.dropFirst()).allSatisfy({ $0.bound < $1.bound && $0.count <= $1.count }) else {
                throw PrometheusError("the buckets of \(name) \(series) are not ascending or not cumulative")
            }
            guard let last = buckets.last, last.bound == .infinity,
                samples.first(where: { $0.name == name + "_count" })?.value == last.count,
                let sum = samples.first(where: { $0.name == name + "_sum" })?.value, last.count > 0 || sum == 0
            else { throw PrometheusError("\(name) \(series) lacks a part, or its parts disagree") }
        }
    }
}
