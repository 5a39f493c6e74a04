// Owns: a log that is always empty at the start and takes every append: PostgreSQL's part, at no cost.
import Keyspace
import Replica

final class CountedLog {
    private var head = Head(clusterID: 7, position: .start, digest: .start, epoch: 0, compactRevision: -1)
    /// With a key, as stores have one.
    private let keyRow = DigestKey(1, 2).row(at: Position(0, 0), origin: 1)

    init() { head.digest = head.digest.appending(keyRow) }

    /// The answer to `command`; nil for what is never asked of a process that is alone.
    func answer(_ command: LogCommand) -> LogEvent? {
        switch command {
        case .appending(.append(let batch)):
            head = batch.newHead
            return .appended(number: batch.number)
        case .reading(.head): return .headRead(head)
        case .reading(.tail): return .tailRead(Tail(head: head, rows: [], reachesHead: true))
        default: return nil
        }
    }

    func load() -> [ReplicaEvent] { [.rowsLoaded([keyRow]), .loadFinished(head, .start)] }
}
