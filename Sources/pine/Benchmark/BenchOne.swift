// Owns: `pine bench` of one server.
import ArgumentParser
import PineBench

struct BenchOne: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Measure one server.",
        discussion: "The workloads: \(Workload.allCases.map(\.rawValue).joined(separator: ", ")).")

    @Argument(help: "What to send: a workload, or several one after the other; options may follow a colon, as put:keys=100000.")
    var workloads: [String]

    @Option(help: ArgumentHelp("The server; with several, separated by commas, connections take turns.", valueName: "urls"))
    var endpoints = "http://127.0.0.1:2379"

    @Option(help: ArgumentHelp("Where the watchers connect to, if elsewhere.", valueName: "urls"))
    var watchEndpoints: String?

    @Option(help: ArgumentHelp("The server's process, for its CPU time and memory; found by itself on this machine.", valueName: "pid"))
    var pid: [Int] = []

    @OptionGroup(title: "Load") var options: BenchOptions
    @OptionGroup(title: "TLS") var tls: EndpointTLSOptions
    @OptionGroup(title: "Report") var output: BenchOutput

    func run() async throws {
        let servers = try pine.endpoints(endpoints, tls)
        let watchServers = try watchEndpoints.map { try pine.endpoints($0, tls) } ?? []
        let defaults = try options.plan(servers, watchEndpoints: watchServers, tls: try tls.connector(for: servers + watchServers))
        let plans = try workloads.map { text in
            do {
                return try BenchPlan(text, defaults: defaults)
            } catch let error as BenchError {
                throw UsageError(error.message)
            }
        }
        let processes = pine.processes(pid, servers)
        try await failing(output) {
            var results: [BenchResult] = []
            for plan in plans {
                let run = try await BenchRun.prepare(plan, name: plan.workload.rawValue, processes: processes, report: output.report)
                let result = try await run.measure()
                try await run.close()
                output.endProgress()
                results.append(result)
                if output.output != .json {
                    print("\(plan.title)\n\n\(result.table(output.output == .table ? .plain : .markdown))")
                }
            }
            if output.output == .json { print(try json(results), terminator: "") }
            try output.writePage(results, title: "pine bench \(workloads.joined(separator: " "))")
            return results.allSatisfy(\.isGood)
        }
    }
}
