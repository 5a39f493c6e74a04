// Owns: where the results of `pine bench` go.
import ArgumentParser
import Foundation
import PineBench

struct BenchOutput: ParsableArguments {
    enum Form: String, ExpressibleByArgument {
        case table, markdown, summary, json
    }

    @Option(help: ArgumentHelp("table, markdown, summary (one table for all comparisons) or json, to standard output.", valueName: "form"))
    var output = Form.table

    @Option(help: ArgumentHelp("Also write a page with a plot of the latencies.", valueName: "file"))
    var html: String?

    @Flag(help: "No progress line.")
    var quiet = false

    var report: @Sendable (BenchRun.Progress) -> Void {
        guard !quiet else { return { _ in } }
        let isTerminal = isatty(2) == 1
        return { progress in
            var line = String(
                format: "%@, %.0f s: %.0f/s, p50 %.2f ms, p99 %.2f ms", progress.phase, progress.seconds, progress.perSecond,
                progress.p50 / 1_000, progress.p99 / 1_000)
            if progress.events > 0 { line += ", \(progress.events) events" }
            if progress.errors > 0 { line += ", \(progress.errors) errors" }
            // On a terminal one line that changes; elsewhere now and then a line.
            if isTerminal {
                tell("\r\(line)\u{1B}[K")
            } else if Int(progress.seconds) % 10 == 0 {
                tell(line + "\n")
            }
        }
    }

    /// Leaves the progress line.
    func endProgress() {
        if !quiet && isatty(2) == 1 { tell("\r\u{1B}[K") }
    }

    func writePage(_ results: [BenchResult], title: String) throws {
        guard let html else { return }
        do {
            try page(results, title: title).write(toFile: html, atomically: true, encoding: .utf8)
        } catch {
            throw UsageError("can't write \(html): \(error.localizedDescription)")
        }
    }
}
