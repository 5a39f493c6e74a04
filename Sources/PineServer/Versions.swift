// Owns: which versions of what this Pine speaks.
internal import Changelog

package enum Versions {
    /// The etcd release whose API and behaviour Pine has. Clients are told this, and choose their behaviour by it.
    package static let etcd = "3.8.0"
    /// The same, without the patch: what a cluster of that release has agreed on.
    static let etcdCluster = "3.8"
    /// Pine's own.
    package static let pine = "0.1.0"
    /// The version of the tables that this Pine works with.
    package static var tables: Int { Migrator.latestVersion }
}
