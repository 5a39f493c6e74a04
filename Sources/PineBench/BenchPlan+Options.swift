// Owns: a plan's options by their names, as flags and as `put:keys=100000,value-size=4096` give them.
internal import EtcdClient

extension BenchPlan {
    /// `WORKLOAD` or `WORKLOAD:option=value,...`, with what isn't given from `defaults`.
    package init(_ text: String, defaults: BenchPlan) throws(BenchError) {
        let parts = text.split(separator: ":", maxSplits: 1)
        guard let name = parts.first, let workload = Workload(rawValue: String(name)) else {
            let names = Workload.allCases.map(\.rawValue).joined(separator: ", ")
            throw BenchError("\(text) is not a workload; there are \(names)")
        }
        self = defaults
        self.workload = workload
        if parts.count == 2 {
            for option in parts[1].split(separator: ",") {
                let pair = option.split(separator: "=", maxSplits: 1)
                guard pair.count == 2 else { throw BenchError("\(text): \(option) is not option=value") }
                try set(String(pair[0]), String(pair[1]))
            }
        }
        try complete()
    }

    private mutating func set(_ name: String, _ value: String) throws(BenchError) {
        func number(_ least: Int) throws(BenchError) -> Int {
            guard let number = Int(value), number >= least else {
                throw BenchError("\(name)=\(value) is not a number of \(least) or more")
            }
            return number
        }
        switch name {
        case "connections": connections = try number(1)
        case "streams": streams = try number(1)
        case "keys": keys = try number(1)
        case "value-size": valueSize = try number(1)
        case "watchers": watchers = try number(0)
        case "watchers-elsewhere": watchersElsewhere = try number(0)
        case "watch-connections": watchConnections = try number(1)
        case "leases": leases = try number(1)
        case "lease-seconds": leaseSeconds = try number(1)
        case "nodes": nodes = try number(1)
        case "pods-per-node": podsPerNode = try number(1)
        case "requests": limit = .requests(try number(1))
        case "seconds": limit = .seconds(Double(try number(1)))
        case "rate": rate = try BenchPlan.rate(value)
        default: throw BenchError("\(name)=\(value): there is no option \(name)")
        }
    }

    /// `max` for a closed loop, or requests a second.
    package static func rate(_ text: String) throws(BenchError) -> Double {
        if text == "max" { return .infinity }
        guard let rate = Double(text), rate > 0, rate.isFinite else {
            throw BenchError("--rate \(text) is neither max nor a number of requests a second")
        }
        return rate
    }

    /// Fills in what depends on the workload, and refuses what makes no sense.
    private mutating func complete() throws(BenchError) {
        if workload == .watch && watchers == 0 { watchers = 100 }
        if workload == .kubernetes {
            let resources = ClusterModel.resources.count
            if watchers == 0 { watchers = resources }
            guard watchers % resources == 0 else {
                throw BenchError("kubernetes watches \(resources) resources; --watchers must be a multiple of that")
            }
        }
        if workload == .leaseFlood {
            keys = nodes
            valueSize = ClusterModel.leaseSize
        }
        if rate == nil {
            switch workload {
            // As etcd's own client does: thrice within the lease's time.
            case .leaseKeepAlive: rate = Double(leases) * 3 / Double(leaseSeconds)
            case .kubernetes: rate = ClusterModel(self).rate
            default: break
            }
        }
        if rate == .infinity { rate = nil }
        guard valueSize >= BenchPlan.smallestValue else {
            throw BenchError("--value-size must be at least \(BenchPlan.smallestValue): a value tells its key and its time")
        }
        threads = min(threads, connections)
    }

    /// What it measures, in one line.
    package var title: String {
        var parts = [workload.rawValue]
        switch workload {
        case .leaseKeepAlive: parts.append("\(grouped(leases)) leases of \(leaseSeconds) s")
        case .kubernetes: parts.append("\(grouped(nodes)) nodes of \(podsPerNode) pods")
        case .txn, .txnCreate, .txnDelete: parts.append("values of \(bytes(valueSize))")
        default: parts.append("\(grouped(preloadedKeys)) keys of \(bytes(valueSize))")
        }
        if watchers > 0 { parts.append("\(grouped(watchers)) watchers") }
        if watchersElsewhere > 0 { parts.append("\(grouped(watchersElsewhere)) watchers elsewhere") }
        parts.append(
            rate.map { "\(grouped(Int($0.rounded()))) requests a second" }
                ?? (slots == 1 ? "one at a time" : "\(connections) × \(streams) in flight"))
        return parts.joined(separator: ", ")
    }
}

/// 1234567 as 1,234,567.
func grouped(_ number: Int) -> String {
    var digits = Array(String(abs(number)))
    var index = digits.count - 3
    while index > 0 {
        digits.insert(",", at: index)
        index -= 3
    }
    return (number < 0 ? "-" : "") + String(digits)
}

private func bytes(_ count: Int) -> String {
    if count >= 1 << 20, count % (1 << 20) == 0 { return "\(count >> 20) MiB" }
    if count >= 1 << 10, count % (1 << 10) == 0 { return "\(count >> 10) KiB" }
    return "\(count) bytes"
}
