// Owns: `pine bench`: its flags, its progress line, and where the results go.
import ArgumentParser
import EtcdClient
import Foundation
import PineBench
import TLS

struct Bench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure an etcd or a Pine under load.",
        discussion: """
            One server:

              pine bench put
              pine bench get --keys 100000 --duration 30
              pine bench watch --watchers 1000 --rate 500
              pine bench kubernetes --nodes 1000

            Several, in turn, with the ratios of their figures:

              pine bench compare put get list:keys=10000 --endpoint etcd=http://127.0.0.1:2379 --endpoint pine=http://127.0.0.1:2380

            Keys go below --prefix and stay there for the next run. Nobody else should write there meanwhile: every answer is \
            checked, and one that is wrong or an error ends the command with status 1.
            """,
        subcommands: [BenchOne.self, BenchCompare.self], defaultSubcommand: BenchOne.self)
}

struct BenchOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Connections.", valueName: "count"))
    var connections = 10

    @Option(help: ArgumentHelp("Requests in flight on each connection.", valueName: "count"))
    var streams = 100

    @Option(help: ArgumentHelp("Requests in flight on all connections together, instead of --streams.", valueName: "count"))
    var clients: Int?

    @Option(help: ArgumentHelp("Threads of the load generator.", valueName: "count"))
    var threads = 1

    @Option(
        help: ArgumentHelp(
            "Requests a second, sent when they are due: latency counts from then. `max`, the default for most workloads, sends the "
                + "next request when an answer has come.", valueName: "rate"))
    var rate: String?

    @Option(help: ArgumentHelp("Keys that are there, and among which requests choose.", valueName: "count"))
    var keys = 1_000

    @Option(help: ArgumentHelp("The size of a value; its bytes are random.", valueName: "bytes"))
    var valueSize = 512

    @Option(help: ArgumentHelp("How long to measure.", valueName: "seconds"))
    var duration = 10.0

    @Option(help: ArgumentHelp("How many requests to measure, instead of --duration.", valueName: "count"))
    var requests: Int?

    @Option(help: ArgumentHelp("How long to send requests before that.", valueName: "seconds"))
    var warmUp = 1.0

    @Option(help: ArgumentHelp("What keys and values are drawn from.", valueName: "number"))
    var seed: UInt64 = 1

    @Option(help: ArgumentHelp("What all keys begin with.", valueName: "prefix"))
    var prefix = "/registry/pine-bench/"

    @Option(help: ArgumentHelp("Watchers of what is written, with any workload. `watch` has 100, `kubernetes` 4.", valueName: "count"))
    var watchers = 0

    @Option(help: ArgumentHelp("Watchers of prefixes where nothing is written.", valueName: "count"))
    var watchersElsewhere = 0

    @Option(help: ArgumentHelp("Connections of the watchers, each of which has a stream.", valueName: "count"))
    var watchConnections = 10

    @Option(help: ArgumentHelp("Leases that lease-keepalive grants.", valueName: "count"))
    var leases = 50_000

    @Option(help: ArgumentHelp("Their time to live. Each is kept alive thrice in that time, unless --rate is given.", valueName: "seconds"))
    var leaseSeconds = 60

    @Option(help: ArgumentHelp("Nodes of kubernetes and lease-flood.", valueName: "count"))
    var nodes = 100

    @Option(help: ArgumentHelp("Pods a node of kubernetes.", valueName: "count"))
    var podsPerNode = 30

    func plan(_ endpoints: [Endpoint], watchEndpoints: [Endpoint] = [], tls: TLSConnector?) throws -> BenchPlan {
        func check(_ isGood: Bool, _ message: String) throws {
            if !isGood { throw UsageError(message) }
        }
        try check(connections > 0 && streams > 0 && threads > 0, "--connections, --streams and --threads must be at least 1")
        try check(keys > 0 && nodes > 0 && podsPerNode > 0, "--keys, --nodes and --pods-per-node must be at least 1")
        try check(
            leases > 0 && leaseSeconds > 0 && watchConnections > 0, "--leases, --lease-seconds and --watch-connections must be at least 1")
        try check(watchers >= 0 && watchersElsewhere >= 0, "there can't be fewer than no watchers")
        try check(duration > 0 && warmUp >= 0, "--duration must be more than 0 seconds, and --warm-up not less")
        try check(requests ?? 1 > 0 && clients ?? 1 > 0, "--requests and --clients must be at least 1")
        try check(!prefix.isEmpty, "--prefix must not be empty: what is below it may be deleted")
        var plan = BenchPlan(workload: .put, endpoints: endpoints)
        plan.watchEndpoints = watchEndpoints
        plan.tls = tls
        plan.connections = connections
        plan.streams = streams
        if let clients {
            plan.connections = min(connections, clients)
            try check(
                clients % plan.connections == 0, "--clients \(clients) can't be shared out evenly over \(plan.connections) connections")
            plan.streams = clients / plan.connections
        }
        plan.threads = threads
        if let rate { plan.rate = try BenchPlan.rate(rate) }
        plan.keys = keys
        plan.valueSize = valueSize
        plan.limit = requests.map { .requests($0) } ?? .seconds(duration)
        plan.warmUpSeconds = warmUp
        plan.seed = seed
        plan.prefix = prefix
        plan.watchers = watchers
        plan.watchersElsewhere = watchersElsewhere
        plan.watchConnections = watchConnections
        plan.leases = leases
        plan.leaseSeconds = leaseSeconds
        plan.nodes = nodes
        plan.podsPerNode = podsPerNode
        return plan
    }
}

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

/// Parses endpoints, which are separated by commas.
func endpoints(_ text: String, _ tls: EndpointTLSOptions) throws -> [Endpoint] {
    let endpoints = try text.split(separator: ",").map { try tls.endpoint($0.trimmingCharacters(in: .whitespaces)) }
    guard !endpoints.isEmpty else { throw UsageError("there is no endpoint in \"\(text)\"") }
    return endpoints
}

/// The processes of these numbers; if there are none, the one on this machine that listens where the endpoint says.
func processes(_ numbers: [Int], _ endpoints: [Endpoint]) -> ServerProcesses? {
    if !numbers.isEmpty { return ServerProcesses(numbers) }
    let ports = endpoints.compactMap { endpoint -> Int? in
        guard case .host(let host, let port) = endpoint.address, ["127.0.0.1", "localhost", "::1"].contains(host) else { return nil }
        return port
    }
    guard ports.count == endpoints.count else { return nil }
    let found = ports.compactMap { ServerProcesses(listeningOn: $0) }
    return found.count == ports.count ? ServerProcesses(found.flatMap(\.roots)) : nil
}

/// Runs `body`; what goes wrong is one line and status 1.
func failing(_ output: BenchOutput, _ body: () async throws -> Bool) async throws {
    let isGood: Bool
    do {
        isGood = try await body()
    } catch let error as BenchError {
        output.endProgress()
        tell("pine bench: \(error.message)\n")
        throw ExitCode.failure
    } catch let error as UsageError {
        throw error
    } catch {
        output.endProgress()
        tell("pine bench: \(error)\n")
        throw ExitCode.failure
    }
    if !isGood { throw ExitCode.failure }
}

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
