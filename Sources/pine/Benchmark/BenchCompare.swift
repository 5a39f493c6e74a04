// Owns: `pine bench compare`: servers side by side, in turns.
import ArgumentParser
import Foundation
import PineBench

struct BenchCompare: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare", abstract: "Measure several servers in turn, and print the ratios of their figures.",
        discussion: """
            The first endpoint is what the others are compared with. Each figure is the median of the rounds. Options of one \
            workload follow a colon: put:keys=100000,value-size=4096,connections=1,streams=1.
            """)

    @Argument(help: "What to send: workloads, each a table.")
    var workloads: [String]

    @Option(name: .customLong("endpoint"), help: ArgumentHelp("A server with its name; give at least two.", valueName: "name=urls"))
    var named: [String]

    @Option(help: ArgumentHelp("A server's process, if it isn't found by itself; more than one add up.", valueName: "name=pid"))
    var pid: [String] = []

    @Option(help: ArgumentHelp("Rounds of each workload.", valueName: "count"))
    var rounds = 3

    @OptionGroup(title: "Load") var options: BenchOptions
    @OptionGroup(title: "TLS") var tls: EndpointTLSOptions
    @OptionGroup(title: "Report") var output: BenchOutput

    func run() async throws {
        guard rounds > 0 else { throw UsageError("--rounds must be at least 1") }
        let servers = try named.map { text in
            let pair = text.split(separator: "=", maxSplits: 1)
            guard pair.count == 2 else { throw UsageError("--endpoint \(text) is not name=url") }
            return (name: String(pair[0]), endpoints: try endpoints(String(pair[1]), tls))
        }
        guard servers.count > 1 else { throw UsageError("give at least two --endpoint name=url to compare") }
        var pids: [String: [Int]] = [:]
        for text in pid {
            let pair = text.split(separator: "=", maxSplits: 1)
            guard pair.count == 2, let number = Int(pair[1]), servers.contains(where: { $0.name == pair[0] }) else {
                throw UsageError("--pid \(text) is not name=pid with the name of an endpoint")
            }
            pids[String(pair[0]), default: []].append(number)
        }
        let connector = try tls.connector(for: servers.flatMap { $0.endpoints })
        let plans = try workloads.map { text in
            try servers.map { server in
                do {
                    return Contender(
                        name: server.name, plan: try BenchPlan(text, defaults: try options.plan(server.endpoints, tls: connector)),
                        processes: processes(pids[server.name] ?? [], server.endpoints))
                } catch let error as BenchError {
                    throw UsageError(error.message)
                }
            }
        }
        try await failing(output) {
            var comparison = Comparison(contenders: servers.map(\.name))
            for contenders in plans {
                try await comparison.add(contenders, rounds: rounds, report: output.report) { result in
                    output.endProgress()
                    if !output.quiet {
                        tell(String(format: "%@ %@: %.0f/s\n", result.name, result.workload.rawValue, result.requestsPerSecond))
                    }
                    for (error, count) in result.errors { tell("\(result.name): ERROR, \(count) times: \(error)\n") }
                }
            }
            switch output.output {
            case .json: print(try json(comparison), terminator: "")
            case .markdown: print(comparison.table(.markdown), terminator: "")
            case .summary: print(comparison.summary(), terminator: "")
            case .table: print(comparison.table(.plain), terminator: "")
            }
            try output.writePage(
                comparison.plans.flatMap { $0.rounds.flatMap(\.self) }, title: "pine bench compare \(workloads.joined(separator: " "))")
            return comparison.isGood
        }
    }
}
