// Owns: what is to be measured, and how.
package import EtcdClient
package import TLS

package enum BenchLimit: Sendable, Codable, Equatable {
    case seconds(Double)
    case requests(Int)
}

package struct BenchPlan: Sendable {
    package var workload: Workload
    package var endpoints: [Endpoint]
    /// Where the watchers connect to; the endpoints where it is empty.
    package var watchEndpoints: [Endpoint] = []
    /// For endpoints that speak TLS; nil trusts the system's authorities.
    package var tls: TLSConnector?
    package var connections = 10
    /// Requests in flight on each connection.
    package var streams = 100
    package var threads = 1
    /// Requests a second, sent when they are due whatever the answers do. Nil: each answer brings the next request.
    package var rate: Double?
    package var keys = 1_000
    package var valueSize = 512
    package var limit = BenchLimit.seconds(10)
    package var warmUpSeconds = 1.0
    package var seed: UInt64 = 1
    package var prefix = "/registry/pine-bench/"
    /// Watchers of all that is written, and of other prefixes where nothing is.
    package var watchers = 0
    package var watchersElsewhere = 0
    package var watchConnections = 10
    package var leases = 50_000
    package var leaseSeconds = 60
    package var nodes = 100
    package var podsPerNode = 30

    package init(workload: Workload, endpoints: [Endpoint]) {
        self.workload = workload
        self.endpoints = endpoints
    }

    /// The smallest value: when it was sent, and of which key it is.
    package static let smallestValue = 16

    var slots: Int { connections * streams }

    /// What is in the store before it starts, under `dataPrefix`.
    var preloadedKeys: Int {
        switch workload {
        case .put, .get, .mixed, .watch, .list, .listFull, .count: keys
        case .txnUpdate, .leaseFlood: max(keys, slots)
        case .txn, .txnCreate, .txnDelete, .leaseKeepAlive, .kubernetes: 0
        }
    }

    /// Where the keys of this plan are. Another number of keys, or size of value, is another place: what one run has loaded
    /// serves the next.
    var dataPrefix: String {
        switch workload {
        case .leaseFlood: "\(prefix)leases/kube-node-lease/\(preloadedKeys)/"
        case .kubernetes: "\(prefix)cluster/"
        case .txn, .txnCreate, .txnDelete: "\(prefix)objects/"
        default: "\(prefix)keys/\(preloadedKeys)x\(valueSize)/"
        }
    }

    var elsewherePrefix: String { "\(prefix)elsewhere/" }

    /// What the watchers watch.
    var watchedPrefixes: [String] {
        workload == .kubernetes ? ClusterModel.resources.map { dataPrefix + $0 } : [dataPrefix]
    }
}

/// What goes wrong with a run as a whole.
package struct BenchError: Error {
    package let message: String

    package init(_ message: String) { self.message = message }
}
