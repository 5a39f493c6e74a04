// Owns: the flags of `pine bench`.
import ArgumentParser
import EtcdClient
import PineBench
import TLS

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
