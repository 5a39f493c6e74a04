// Owns: which leases exist and which keys hang on them, with an undo journal for rows that are not committed yet.
// Must never: know about time. Deadlines are PostgreSQL's business.
// Invariants: a key is attached to at most one lease; every attached key's latest version carries that lease's id.
package import Bytes
package import EtcdAPI

/// A granted lease.
package struct Lease: Sendable {
    package let id: LeaseID
    /// Seconds, as granted.
    package let ttl: Int64
    /// Where the log says so.
    let granted: Position
    /// The keys whose latest version carries this lease.
    package fileprivate(set) var keys = ChunkedSet<ByteString>()
}

package struct LeaseTable {
    private enum Undo {
        case granted(LeaseID)
        case revoked(Lease)
        case attached(LeaseID, ByteString)
        case detached(LeaseID, ByteString)
    }

    private var leases: [LeaseID: Lease] = [:]
    /// Every lease's id.
    package private(set) var orderedIDs = ChunkedSet<LeaseID>()
    private var journal: [(position: Position, undo: Undo)] = []
    private var journalStart = 0

    package init() {}

    package var count: Int { leases.count }

    package subscript(id: LeaseID) -> Lease? { leases[id] }

    /// The keys of a lease; none where there is no such lease.
    package func keys(of id: LeaseID) -> ChunkedSet<ByteString> { leases[id]?.keys ?? ChunkedSet() }

    package func contains(_ id: LeaseID) -> Bool { leases[id] != nil }

    /// Every lease's id, ascending.
    package var ids: [LeaseID] { Array(orderedIDs) }

    // MARK: Changing; each change belongs to the row at `position`

    mutating func grant(_ id: LeaseID, ttl: Int64, at position: Position) {
        // A second grant of an id can only come from a log that another program wrote; the keys stay attached.
        guard leases[id] == nil else { return }
        leases[id] = Lease(id: id, ttl: ttl, granted: position)
        orderedIDs.insert(id)
        journal.append((position, .granted(id)))
    }

    /// Gives where it was granted; nil where there is no such lease.
    @discardableResult
    mutating func revoke(_ id: LeaseID, at position: Position) -> Position? {
        guard let lease = leases.removeValue(forKey: id) else { return nil }
        orderedIDs.remove(id)
        journal.append((position, .revoked(lease)))
        return lease.granted
    }

    mutating func attach(_ key: ByteString, to id: LeaseID, at position: Position) {
        guard leases[id]?.keys.insert(key) == true else { return }
        journal.append((position, .attached(id, key)))
    }

    mutating func detach(_ key: ByteString, from id: LeaseID, at position: Position) {
        guard leases[id]?.keys.remove(key) == true else { return }
        journal.append((position, .detached(id, key)))
    }

    // MARK: Committing and undoing

    mutating func commit(through position: Position) {
        while journalStart < journal.count, journal[journalStart].position <= position { journalStart += 1 }
        if journalStart == journal.count {
            journal.removeAll(keepingCapacity: journal.capacity <= 4096)
            journalStart = 0
        } else if journalStart > 1024, journalStart > journal.count / 2 {
            // There may always be something under way behind what is committed.
            journal.removeFirst(journalStart)
            journalStart = 0
        }
    }

    mutating func rollBack(after position: Position) {
        while journal.count > journalStart, let last = journal.last, last.position > position {
            journal.removeLast()
            switch last.undo {
            case .granted(let id):
                leases[id] = nil
                orderedIDs.remove(id)
            case .revoked(let lease):
                leases[lease.id] = lease
                orderedIDs.insert(lease.id)
            case .attached(let id, let key): leases[id]?.keys.remove(key)
            case .detached(let id, let key): leases[id]?.keys.insert(key)
            }
        }
    }
}
