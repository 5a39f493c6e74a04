// Owns: results as tables for people: plain text, and Markdown for documents.
internal import Foundation

package enum TableStyle: Sendable {
    case plain
    case markdown
}

/// Rows of cells, the first row being the heads; the first column is text, the others are numbers.
private func table(_ rows: [[String]], _ style: TableStyle) -> String {
    guard let heads = rows.first else { return "" }
    let widths = heads.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    var lines: [String] = []
    for (index, row) in rows.enumerated() {
        let cells = row.indices.map { column in
            let pad = String(repeating: " ", count: widths[column] - row[column].count)
            return column == 0 ? row[column] + pad : pad + row[column]
        }
        switch style {
        case .plain: lines.append(cells.joined(separator: "  "))
        case .markdown:
            lines.append("| " + cells.joined(separator: " | ") + " |")
            if index == 0 {
                let rules = widths.enumerated().map {
                    $0 == 0 ? String(repeating: "-", count: $1) : String(repeating: "-", count: max($1 - 1, 1)) + ":"
                }
                lines.append("| " + rules.joined(separator: " | ") + " |")
            }
        }
    }
    return lines.joined(separator: "\n") + "\n"
}

/// Microseconds, as milliseconds where that reads better.
private func time(_ microseconds: Double) -> String {
    if microseconds >= 1e6 { return String(format: "%.2f s", microseconds / 1e6) }
    if microseconds >= 10_000 { return String(format: "%.1f ms", microseconds / 1e3) }
    if microseconds >= 1_000 { return String(format: "%.2f ms", microseconds / 1e3) }
    return String(format: "%.0f µs", microseconds)
}

private func cost(_ microseconds: Double) -> String {
    String(format: microseconds >= 100 ? "%.0f µs" : "%.1f µs", microseconds)
}

private func memory(_ bytes: Double) -> String { String(format: "%.0f MiB", bytes / 1_048_576) }

extension BenchResult {
    /// The result for people.
    package func table(_ style: TableStyle) -> String {
        var rows = [["", "a second", "mean", "p50", "p90", "p99", "p99.9", "max"]]
        for row in self.rows + (events.map { [$0] } ?? []) {
            let l = row.latency
            rows.append([row.kind, grouped(Int(row.perSecond.rounded()))] + [l.mean, l.p50, l.p90, l.p99, l.p999, l.max].map(time))
        }
        var text = PineBench.table(rows, style) + "\n"
        text += String(format: "%@ requests in %.2f s", grouped(requests), seconds)
        if let server {
            text += "; CPU a request: \(cost(server.microseconds)) of the server"
            if server.childMemory > 0 { text += ", of these \(cost(server.childMicroseconds)) of its children" }
            text += "; memory: \(memory(Double(server.serverMemory)))"
            if server.childMemory > 0 { text += " and \(memory(Double(server.childMemory)))" }
        }
        text += "; load generator: \(cost(clientMicroseconds)) of CPU a request\n"
        for (error, count) in errors.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) {
            text += "ERROR, \(grouped(count)) times: \(error)\n"
        }
        return text
    }
}

extension Comparison {
    /// Medians and their ratios to the first contender's.
    package func table(_ style: TableStyle) -> String {
        plans.map { plan in
            let heads =
                [style == .markdown ? plan.title : ""] + contenders + contenders.dropFirst().map { "\($0) / \(contenders[0])" }
            var rows = [heads]
            func row(_ label: String, _ format: (Double) -> String, hasRatio: Bool = true, _ figure: (BenchResult) -> Double?) {
                let figures = contenders.indices.map { plan.median($0, figure) }
                guard figures.contains(where: { $0 != nil }) else { return }
                var cells = [label] + figures.map { $0.map(format) ?? "" }
                for other in figures.dropFirst() {
                    if hasRatio, let first = figures[0], first > 0, let other {
                        cells.append(String(format: "%.2f", other / first))
                    } else {
                        cells.append("")
                    }
                }
                rows.append(cells)
            }
            let kinds = plan.rounds[0].first?.rows.map(\.kind) ?? []
            row("requests a second", { grouped(Int($0.rounded())) }) { $0.requestsPerSecond }
            for kind in kinds {
                let label = kinds.count == 1 ? "" : "\(kind), "
                row("\(label)p50", time) { $0.rows.first { $0.kind == kind }?.latency.p50 }
                row("\(label)p99", time) { $0.rows.first { $0.kind == kind }?.latency.p99 }
            }
            row("events a second", { grouped(Int($0.rounded())) }) { $0.events?.perSecond }
            row("write to event, p50", time) { $0.events?.latency.p50 }
            row("write to event, p99", time) { $0.events?.latency.p99 }
            row("server's CPU a request", cost) { $0.server?.microseconds }
            row("of this, its children's", cost, hasRatio: false) { $0.server.flatMap { $0.childMemory > 0 ? $0.childMicroseconds : nil } }
            row("memory", memory) { $0.server.map { Double($0.serverMemory + $0.childMemory) } }
            row("of this, its children's", memory, hasRatio: false) {
                $0.server.flatMap { $0.childMemory > 0 ? Double($0.childMemory) : nil }
            }
            row("load generator's CPU a request", cost, hasRatio: false) { $0.clientMicroseconds }
            let text = PineBench.table(rows, style)
            return style == .markdown ? text : "\(plan.title)\n\(text)"
        }.joined(separator: "\n")
    }
}

extension Comparison {
    /// One table for all plans: each figure of every contender, and in parentheses the ratios to the first's.
    package func summary() -> String {
        var rows = [[contenders.joined(separator: " / "), "a second", "p50", "p99", "CPU a request", "memory"]]
        for plan in plans {
            func cell(_ format: (Double) -> String, hasRatio: Bool = true, _ figure: (BenchResult) -> Double?) -> String {
                let figures = contenders.indices.map { plan.median($0, figure) }
                guard let first = figures[0] else { return "" }
                let ratios = figures.dropFirst().map { other in
                    other.map { first > 0 ? String(format: "%.2f", $0 / first) : "" } ?? ""
                }
                let text = figures.map { $0.map(format) ?? "-" }.joined(separator: " / ")
                return hasRatio ? "\(text) (\(ratios.joined(separator: ", ")))" : text
            }
            func percentile(_ latency: @escaping (LatencySummary) -> Double) -> String {
                // Of several kinds of requests the one that comes most often speaks for all.
                cell(time) { result in result.rows.max { $0.latency.count < $1.latency.count }.map { latency($0.latency) } }
            }
            rows.append([
                plan.title, cell({ grouped(Int($0.rounded())) }) { $0.requestsPerSecond }, percentile(\.p50), percentile(\.p99),
                cell(cost) { $0.server?.microseconds },
                cell(memory, hasRatio: false) { $0.server.map { Double($0.serverMemory + $0.childMemory) } },
            ])
            if plan.rounds[0].first?.events != nil {
                rows.append([
                    "… events, from the write on", cell({ grouped(Int($0.rounded())) }) { $0.events?.perSecond },
                    cell(time) { $0.events?.latency.p50 }, cell(time) { $0.events?.latency.p99 }, "", "",
                ])
            }
        }
        return PineBench.table(rows, .markdown)
    }
}
