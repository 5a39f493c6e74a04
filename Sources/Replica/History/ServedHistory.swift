// Owns: what may have been served of histories that the log may have lost, compared with the log while that is loaded.
//
// A failover to a standby that lacked commits, or a restored backup, takes the log back. Its revisions are then given to other
// writes, and a client that goes on from a revision that it has seen would miss some of them without a word. So a process that may have
// served what is lost moves the log's revision past all that anybody can have seen, and compacts what is below: clients are told
// that their place is compacted, and list again.
//
// Invariant: the log's rows were passed in their order, from its start.
internal import EtcdAPI
internal import Keyspace

struct ServedHistory {
    /// What was served of earlier memories, by this process's earlier lives as well.
    private var marks: [ComparedMark]

    init(_ served: [ServedMark]) { marks = served.map { ComparedMark($0) } }

    /// What the log is compared with: rows past any of these have to come with their values.
    var served: [ServedMark] { marks.map(\.served) }

    /// The log is loaded from its start.
    mutating func loadingBegan() { marks = marks.map { ComparedMark($0.served) } }

    /// The log's next rows were loaded.
    mutating func passed(_ rows: [LogRow]) {
        for index in marks.indices {
            for row in rows { marks[index].pass(row) }
        }
    }

    /// The highest revision that was served and is lost from the log that ends at `head`.
    func lostRevision(from head: Head) -> Revision? {
        marks.filter { $0.isLost(from: head) }.map(\.served.position.revision).max()
    }
}
