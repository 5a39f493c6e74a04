// Owns: where the log has what it says of each user, each role, and auth's state: which of those rows nothing needs any more.
//
// A row is needed until a later one says more of the same. One that says that something is gone is needed as long as it is the last of
// all: the last one has the auth revision.
internal import Auth
internal import Bytes

struct AuthRows {
    fileprivate struct Subject: Hashable {
        let kind: AuthRow.Kind
        let key: ByteString
    }

    /// What there was before a row.
    struct Undo {
        fileprivate let subject: Subject
        fileprivate let place: Position?
        fileprivate let tombstone: Position?
    }

    private var places: [Subject: Position] = [:]
    /// The last row, where it says that something is gone.
    private var tombstone: Position?

    /// Takes in the next row. Gives the places of those that it supersedes.
    mutating func fold(_ row: AuthRow, at position: Position) -> (dead: [Position], before: Undo) {
        let subject = Subject(kind: row.kind, key: row.key)
        let isTombstone = row.kind != .state && row.value.isEmpty
        let before = Undo(subject: subject, place: places[subject], tombstone: tombstone)
        places[subject] = isTombstone ? nil : position
        tombstone = isTombstone ? position : nil
        return ([before.place, before.tombstone].compactMap(\.self), before)
    }

    mutating func undo(_ before: Undo) {
        places[before.subject] = before.place
        tombstone = before.tombstone
    }
}
