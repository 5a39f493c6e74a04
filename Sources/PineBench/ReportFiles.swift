// Owns: results as JSON, and as a page with a plot that needs nothing beside it.
internal import Bytes
internal import Foundation

package func json(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self) + "\n"
}

/// A page with the latencies of each result by percentile, and its table.
package func page(_ results: [BenchResult], title: String) -> String {
    let colors = ["#1b6ca8", "#c8553d", "#588157", "#8d5a97", "#b08900", "#3d405b", "#e07a5f", "#2a9d8f"]
    var curves: [(label: String, points: [[Double]])] = []
    for result in results {
        for row in result.rows + (result.events.map { [$0] } ?? []) {
            curves.append(("\(result.name) \(result.workload.rawValue): \(row.kind)", row.curve))
        }
    }
    let highest = max(curves.flatMap(\.points).map { $0[1] }.max() ?? 1, 1)
    let lowest = max(curves.flatMap(\.points).map { $0[1] }.filter { $0 > 0 }.min() ?? 1, 1)
    let plot = LogPlot(lowest: lowest, highest: highest)
    var svg = plot.axes()
    for (index, curve) in curves.enumerated() {
        let color = colors[index % colors.count]
        svg += "<polyline fill=\"none\" stroke=\"\(color)\" stroke-width=\"2\" points=\"\(plot.points(curve.points))\"/>\n"
        let y = 24 + 18 * index
        svg += "<text x=\"80\" y=\"\(y)\" fill=\"\(color)\">\(Quoted.html(curve.label))</text>\n"
    }
    let tables = results.map {
        "<h2>\(Quoted.html("\($0.name): \($0.workload.rawValue)"))</h2>\n<pre>\(Quoted.html($0.table(.plain)))</pre>\n"
    }.joined()
    return """
        <!doctype html>
        <html lang="en"><head><meta charset="utf-8"><title>\(Quoted.html(title))</title>
        <style>body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:62em;color:#222}
        pre{background:#f6f6f4;padding:1em;overflow-x:auto}svg text{font:13px system-ui,sans-serif}</style></head>
        <body><h1>\(Quoted.html(title))</h1>
        <svg viewBox="0 0 \(LogPlot.width) \(LogPlot.height)" role="img" aria-label="Latency by percentile">
        \(svg)</svg>
        \(tables)</body></html>

        """
}

/// Latency upwards on a logarithmic scale; to the right the percentile, each nine as wide as the one before.
private struct LogPlot {
    static let width = 900.0
    static let height = 480.0
    private static let left = 70.0
    private static let bottom = 440.0
    private static let top = 10.0
    /// 99.99 %: four nines.
    private static let nines = 4.0

    private let low: Double
    private let high: Double

    init(lowest: Double, highest: Double) {
        low = log10(lowest).rounded(.down)
        high = max(log10(highest).rounded(.up), low + 1)
    }

    private func x(_ percentile: Double) -> Double {
        let nines = percentile >= 100 ? Self.nines : min(-log10(1 - percentile / 100), Self.nines)
        return Self.left + nines / Self.nines * (Self.width - Self.left - 20)
    }

    private func y(_ microseconds: Double) -> Double {
        let share = (log10(max(microseconds, 1)) - low) / (high - low)
        return Self.bottom - share * (Self.bottom - Self.top)
    }

    func points(_ curve: [[Double]]) -> String {
        curve.map { String(format: "%.1f,%.1f", x($0[0]), y($0[1])) }.joined(separator: " ")
    }

    func axes() -> String {
        var svg = ""
        for power in Int(low)...Int(high) {
            let at = y(pow(10, Double(power)))
            let label =
                power >= 6
                ? "\(Int(pow(10, Double(power - 6)))) s"
                : power >= 3 ? "\(Int(pow(10, Double(power - 3)))) ms" : "\(Int(pow(10, Double(power)))) µs"
            svg += String(
                format: "<line x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>", Self.left, Self.width - 20, at, at)
            svg += String(format: "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%@</text>\n", Self.left - 6, at + 4, label)
        }
        for (percentile, label) in [(0.0, "0 %"), (50, "50 %"), (90, "90 %"), (99, "99 %"), (99.9, "99.9 %"), (99.99, "99.99 %")] {
            let at = x(percentile)
            svg += String(format: "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.0f\" y2=\"%.0f\" stroke=\"#eee\"/>", at, at, Self.top, Self.bottom)
            svg += String(format: "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%@</text>\n", at, Self.bottom + 18, label)
        }
        return svg
    }
}
