// Owns: the workloads of the load generator, by name.

/// What the load generator sends.
package enum Workload: String, Sendable, CaseIterable, Codable {
    case put
    case get
    /// 80 gets to 20 puts.
    case mixed
    /// Each client creates a key, updates it twice, and deletes it, in transactions as kube-apiserver sends them.
    case txn
    case txnCreate = "txn-create"
    case txnUpdate = "txn-update"
    /// Creations and deletions in turn.
    case txnDelete = "txn-delete"
    /// The whole key space in pages of 500, at one revision.
    case list
    /// The whole key space in one answer.
    case listFull = "list-full"
    case count
    /// Puts under watchers on the same prefix.
    case watch
    case leaseKeepAlive = "lease-keepalive"
    /// The heartbeats of nodes: transactions that update one small object for each.
    case leaseFlood = "lease-flood"
    /// A cluster: heartbeats, node statuses, pods that come and go with their events, counts and lists.
    case kubernetes
}
