// Owns: one run: connect, prepare the store, open the watchers, warm up, measure, check, close.
internal import EtcdAPI
internal import EtcdClient
internal import Foundation
internal import Histogram
internal import NIOCore
internal import NIOPosix
internal import TLS

/// A run against one server. `prepare` once, `measure` any number of times, `close`.
package final class BenchRun: Sendable {
    /// What a progress line may tell.
    package struct Progress: Sendable {
        package var phase: String
        package var seconds: Double
        package var perSecond: Double
        package var p50: Double
        package var p99: Double
        package var events: Int
        package var errors: Int
    }

    private let plan: BenchPlan
    private let name: String
    private let group: MultiThreadedEventLoopGroup
    private let connections: [EtcdClientConnection]
    private let watchConnections: [EtcdClientConnection]
    private let workers: [Worker]
    private let watchers: [WatcherSet]
    private let leases: LeaseNumbers
    private let processes: ServerProcesses?
    private let report: @Sendable (Progress) -> Void

    private static let userAgent = "pine-bench"
    private static let settleSeconds = 60.0

    private init(
        plan: BenchPlan, name: String, group: MultiThreadedEventLoopGroup, connections: [EtcdClientConnection],
        watchConnections: [EtcdClientConnection], workers: [Worker], watchers: [WatcherSet], leases: LeaseNumbers,
        processes: ServerProcesses?, report: @escaping @Sendable (Progress) -> Void
    ) {
        self.plan = plan
        self.name = name
        self.group = group
        self.connections = connections
        self.watchConnections = watchConnections
        self.workers = workers
        self.watchers = watchers
        self.leases = leases
        self.processes = processes
        self.report = report
    }

    // MARK: Preparing

    /// Connects, loads the keys where they aren't there yet, grants the leases, opens the watchers.
    package static func prepare(
        _ plan: BenchPlan, name: String, processes: ServerProcesses?, report: @escaping @Sendable (Progress) -> Void
    ) async throws -> BenchRun {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: plan.threads)
        do {
            let run = try await connect(plan, name, group, processes, report)
            try await run.fill()
            return run
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    private static func connect(
        _ plan: BenchPlan, _ name: String, _ group: MultiThreadedEventLoopGroup, _ processes: ServerProcesses?,
        _ report: @escaping @Sendable (Progress) -> Void
    ) async throws -> BenchRun {
        let loops = Array(group.makeIterator())
        let connections = try await connect(plan.connections, plan.endpoints, plan.tls, loops)
        let watcherCount = plan.watchers + plan.watchersElsewhere
        let watchConnections = try await connect(
            min(plan.watchConnections, watcherCount), plan.watchEndpoints.isEmpty ? plan.endpoints : plan.watchEndpoints, plan.tls, loops)
        let leases = LeaseNumbers(plan, start: UInt64(Date().timeIntervalSince1970 * 1_000))
        var workers: [Worker] = []
        var watchers: [WatcherSet] = []
        for (index, loop) in loops.enumerated() {
            let own = connections.filter { $0.eventLoop === loop }
            if !own.isEmpty {
                workers.append(
                    Worker(
                        eventLoop: loop, connections: own, slots: own.count * plan.streams, operations: CountOperations(plan)))
            }
            let ownWatching = watchConnections.filter { $0.eventLoop === loop }
            if !ownWatching.isEmpty { watchers.append(WatcherSet(eventLoop: loops[index], connections: ownWatching)) }
        }
        return BenchRun(
            plan: plan, name: name, group: group, connections: connections, watchConnections: watchConnections, workers: workers,
            watchers: watchers, leases: leases, processes: processes, report: report)
    }

    private static func connect(
        _ count: Int, _ endpoints: [Endpoint], _ tls: TLSConnector?, _ loops: [any EventLoop]
    ) async throws -> [EtcdClientConnection] {
        var connections: [EtcdClientConnection] = []
        for index in 0..<count {
            let endpoint = endpoints[index % endpoints.count]
            do {
                connections.append(
                    try await EtcdClientConnection.connect(
                        to: endpoint, on: loops[index % loops.count], userAgent: userAgent, tls: tls))
            } catch {
                throw BenchError("can't connect to \(endpoint.text): \(error)")
            }
        }
        return connections
    }

    private func share(_ index: Int) -> WorkerShare {
        let slots = connections.count * plan.streams
        let before = workers[..<index].reduce(0) { $0 + $1.slotCount }
        return WorkerShare(
            index: index, workers: workers.count, slots: workers[index].slotCount, slotsBefore: before, slotsInAll: slots)
    }

    /// Runs every worker's share of what `operations` makes.
    private func runAll(
        _ phase: String, seconds: Double? = nil, requests: Int? = nil, rate: Double? = nil,
        _ operations: (@Sendable (WorkerShare) -> any Operations)?
    ) async throws -> Tally {
        let reporting = Task { await reportProgress(phase) }
        defer { reporting.cancel() }
        var running: [(worker: Worker, phase: Worker.Phase, operations: (@Sendable () -> any Operations)?)] = []
        for (index, worker) in workers.enumerated() {
            let share = share(index)
            let own = Worker.Phase(
                seconds: seconds,
                requests: requests.map { $0 * (index + 1) / workers.count - $0 * index / workers.count },
                rate: rate.map { $0 / Double(workers.count) })
            var make: (@Sendable () -> any Operations)?
            if let operations { make = { operations(share) } }
            running.append((worker, own, make))
        }
        let tallies = try await withThrowingTaskGroup(of: Tally.self) { tasks in
            for (worker, phase, make) in running {
                tasks.addTask { try await worker.run(phase, make) }
            }
            var tallies: [Tally] = []
            for try await tally in tasks { tallies.append(tally) }
            return tallies
        }
        var sum = tallies[0]
        for tally in tallies.dropFirst() { sum.add(tally) }
        return sum
    }

    private func prepared(_ phase: String, _ operations: @escaping @Sendable (WorkerShare) -> any Operations) async throws {
        let tally = try await runAll(phase, operations)
        if let (error, count) = tally.errors.max(by: { $0.value < $1.value }) {
            throw BenchError("\(name): preparing the store (\(phase)) failed \(count) times: \(error)")
        }
    }

    private func fill() async throws {
        let plan = plan
        let leases = leases
        var preparation = Preparation(leases: leases)
        if plan.preloadedKeys > 0 {
            if try await count() != plan.preloadedKeys {
                try await deleteData()
                try await prepared("loading \(plan.preloadedKeys) keys") { PreloadOperations(plan, $0) }
            }
            if plan.workload == .txnUpdate || plan.workload == .leaseFlood { preparation.revisions = try await revisions() }
        } else if plan.workload != .leaseKeepAlive {
            try await deleteData()
        }
        if plan.workload == .leaseKeepAlive {
            try await prepared("granting \(plan.leases) leases") { GrantOperations(plan, $0, leases) }
        }
        if plan.workload == .kubernetes {
            _ = try await connections[0].call(
                .leaseGrant, LeaseGrantRequest(ttl: 3_600, id: leases.id(0)), LeaseGrantResponse.self)
        }
        let filled = preparation
        let make: @Sendable (WorkerShare) -> any Operations = { plan.operations($0, filled) }
        for (index, worker) in workers.enumerated() {
            // A phase without requests, for the operations to be there.
            let share = share(index)
            _ = try await worker.run(Worker.Phase(requests: plan.workload == .kubernetes ? setUpRequests(share) : 0)) { make(share) }
        }
        try await openWatchers()
    }

    /// How many requests it takes until the cluster of this worker exists.
    private func setUpRequests(_ share: WorkerShare) -> Int {
        let model = ClusterModel(plan)
        return [model.nodes, model.nodes, model.pods].reduce(0) { $0 + ($1 - share.index + share.workers - 1) / share.workers }
    }

    private func openWatchers() async throws {
        guard !watchers.isEmpty else { return }
        let here = plan.watchers
        let prefixes = plan.watchedPrefixes
        let next = try await storeRevision() + 1
        for (index, set) in watchers.enumerated() {
            let own = (here * index / watchers.count)..<(here * (index + 1) / watchers.count)
            let all = plan.watchersElsewhere
            let elsewhere = (all * index / watchers.count)..<(all * (index + 1) / watchers.count)
            try await set.open(own.map { prefixes[$0 % prefixes.count] }, elsewhere: (plan.elsewherePrefix, elsewhere), from: next)
        }
    }

    private func count() async throws -> Int {
        let keys = KeyNames(plan.dataPrefix)
        let request = RangeRequest(key: keys.prefix, rangeEnd: keys.prefixEnd, countOnly: true)
        return Int(try await connections[0].call(.range, request, RangeResponse.self).count)
    }

    private func deleteData() async throws {
        let keys = KeyNames(plan.dataPrefix)
        let request = DeleteRangeRequest(key: keys.prefix, rangeEnd: keys.prefixEnd)
        _ = try await connections[0].call(.deleteRange, request, DeleteRangeResponse.self)
    }

    /// The revision of every key, in their order.
    private func revisions() async throws -> [Revision] {
        let keys = KeyNames(plan.dataPrefix)
        var revisions: [Revision] = []
        while revisions.count < plan.preloadedKeys {
            let request = RangeRequest(
                key: keys.name(revisions.count), rangeEnd: keys.prefixEnd, limit: 10_000, keysOnly: true)
            let answer = try await connections[0].call(.range, request, RangeResponse.self)
            guard !answer.kvs.isEmpty else { throw BenchError("\(name): keys are gone that had been loaded") }
            revisions += answer.kvs.map(\.modRevision)
        }
        return revisions
    }

    private func storeRevision() async throws -> Revision {
        let answer = try await connections[0].call(.range, RangeRequest(key: KeyNames(plan.prefix).prefix), RangeResponse.self)
        return answer.header?.revision ?? 0
    }

    // MARK: Measuring

    /// Warms up and measures once.
    package func measure() async throws -> BenchResult {
        let revisionBefore = try await storeRevision()
        let writesBefore = try await writes()
        let startEvents = try await expectedEventsBase()
        if plan.warmUpSeconds > 0 {
            _ = try await runAll("warming up", seconds: plan.warmUpSeconds, rate: plan.rate, nil)
            for set in watchers { try await set.startCounting() }
        }
        let usageBefore = processes?.usage()
        let ownBefore = ServerProcesses.ownSeconds()
        var tally: Tally
        switch plan.limit {
        case .seconds(let seconds): tally = try await runAll("measuring", seconds: seconds, rate: plan.rate, nil)
        case .requests(let requests): tally = try await runAll("measuring", requests: requests, rate: plan.rate, nil)
        }
        let writes = try await writes() - writesBefore
        try await collectEvents(&tally, expected: startEvents + writes)
        let ownSeconds = ServerProcesses.ownSeconds() - ownBefore
        let usageAfter = processes?.usage()
        let revisions = revisionBefore.distance(to: try await storeRevision())
        if revisions < writes { tally.count("\(writes) writes were acknowledged, but the revision rose by \(revisions) only") }
        return result(tally, ownSeconds: ownSeconds, before: usageBefore, after: usageAfter)
    }

    private func writes() async throws -> Int {
        var sum = 0
        for worker in workers { sum += try await worker.snapshot().writes }
        return sum
    }

    /// How many events all that was written before must have brought: what the watchers have seen, when they rest.
    private func expectedEventsBase() async throws -> Int {
        var seen = 0
        for set in watchers { seen += try await set.eventsSeen().reduce(0, +) }
        return plan.watchers == 0 ? 0 : seen / max(copies, 1)
    }

    /// How many watchers see each write.
    private var copies: Int { plan.watchers / plan.watchedPrefixes.count }

    /// Waits until every write has reached its watchers. `expected` is what each prefix's watchers see together, once each.
    private func collectEvents(_ tally: inout Tally, expected: Int) async throws {
        guard !watchers.isEmpty else { return }
        let deadline = monotonicNow() + UInt64(Self.settleSeconds * 1e9)
        while plan.watchers > 0 && tally.errors.isEmpty {
            var seen: [Int] = []
            for set in watchers { seen += try await set.eventsSeen() }
            let sum = seen.reduce(0, +)
            if sum < expected * copies && monotonicNow() < deadline {
                try await Task.sleep(for: .milliseconds(2))
                continue
            }
            let isUneven = plan.watchedPrefixes.count == 1 && seen.contains { $0 != expected }
            if sum != expected * copies || isUneven {
                tally.count("after \(expected) writes, \(copies) watchers saw \(seen.min() ?? 0) to \(seen.max() ?? 0) events each")
            }
            break
        }
        if plan.watchers > 0 { tally.eventsEnded = monotonicNow() }
        for set in watchers {
            let counts = try await set.counts()
            tally.events += counts.events
            tally.eventLatencies.add(counts.latencies)
            for (error, count) in counts.errors { tally.errors[error, default: 0] += count }
        }
    }

    private func result(
        _ tally: Tally, ownSeconds: Double, before: ProcessUsage?, after: ProcessUsage?
    ) -> BenchResult {
        let kinds = plan.operations(share(0), Preparation(revisions: [], leases: leases)).kinds
        let requests = Double(max(tally.requests, 1))
        var server: ServerCost?
        if let before, let after {
            server = ServerCost(
                serverMicroseconds: (after.ownSeconds - before.ownSeconds) * 1e6 / requests,
                childMicroseconds: (after.childSeconds - before.childSeconds) * 1e6 / requests,
                serverMemory: after.ownMemory, childMemory: after.childMemory)
        }
        let seconds = tally.seconds
        var events = BenchRow(kind: "event", tally.eventLatencies, seconds: max(tally.eventSeconds, seconds))
        // Deletions are delivered, too, but carry no time.
        if events != nil { events?.perSecond = Double(tally.events) / max(tally.eventSeconds, seconds) }
        return BenchResult(
            name: name, workload: plan.workload, endpoints: plan.endpoints.map(\.text), connections: plan.connections,
            streams: plan.streams, rate: plan.rate, keys: plan.preloadedKeys, valueSize: plan.valueSize, watchers: plan.watchers,
            watchersElsewhere: plan.watchersElsewhere, seed: plan.seed, seconds: seconds, requests: tally.requests,
            requestsPerSecond: seconds > 0 ? Double(tally.requests) / seconds : 0,
            bytesPerSecond: seconds > 0 ? Double(tally.bytesReceived) / seconds : 0,
            rows: zip(kinds, tally.latencies).compactMap { BenchRow(kind: $0, $1, seconds: seconds) }, events: events,
            server: server, clientMicroseconds: ownSeconds * 1e6 / requests, errors: tally.errors)
    }

    // MARK: Progress

    private func reportProgress(_ phase: String) async {
        let began = monotonicNow()
        var before = 0
        while !Task.isCancelled {
            guard (try? await Task.sleep(for: .seconds(1))) != nil else { return }
            var sum: Tally?
            var events = 0
            for worker in workers {
                guard let tally = try? await worker.snapshot().tally else { return }
                if sum == nil { sum = tally } else { sum?.add(tally) }
            }
            for set in watchers { events += (try? await set.counts().events) ?? 0 }
            guard let tally = sum, !Task.isCancelled else { return }
            let all = tally.latencies.dropFirst().reduce(into: tally.latencies[0]) { $0.add($1) }
            report(
                Progress(
                    phase: "\(name): \(phase)", seconds: Double(monotonicNow() - began) / 1e9,
                    perSecond: Double(tally.requests - before), p50: Double(all.valueAtPercentile(50)) / 1_000,
                    p99: Double(all.valueAtPercentile(99)) / 1_000, events: events, errors: tally.errorCount))
            before = tally.requests
        }
    }

    // MARK: The end

    /// Ends the leases and closes the connections. The keys stay: the next run may use them.
    package func close() async throws {
        let leases = leases
        if plan.workload == .leaseKeepAlive {
            _ = try await runAll("revoking \(plan.leases) leases") { RevokeOperations($0, leases) }
        }
        if plan.workload == .kubernetes {
            _ = try await connections[0].call(.leaseRevoke, LeaseRevokeRequest(id: leases.id(0)), LeaseRevokeResponse.self)
        }
        for connection in connections + watchConnections { connection.close() }
        try await group.shutdownGracefully()
    }
}
