// Owns: what a row of the log did, as it is stored.

/// What a row did. The raw values are stored; they never change.
package enum RowKind: Int16, Sendable, CaseIterable {
    /// A key got a value. All of the row's fields are meaningful.
    case put = 1
    /// A key was deleted. `createRevision`, `version` and `value` are those of nothing: 0, 0 and empty.
    case delete = 2
    /// A lease was granted: `lease` is its id, `version` its TTL in seconds.
    case grant = 3
    /// A lease was revoked or has expired: `lease` is its id. The deletes of its keys are rows of their own.
    case revoke = 4
    /// Everything below revision `version` is compacted. Where the log was moved to that revision, past what it has lost of a
    /// history that clients had seen, `createRevision` is the revision before; else it is 0.
    case compact = 5
    /// An alarm was raised or disarmed: `lease` is the member, `createRevision` etcd's number of the alarm, `version` says which
    /// (see `AlarmChange`).
    case alarm = 6
    /// The store's secret key (see `DigestKey`): rows after this one are hashed under it. `createRevision` and `version` are its halves.
    /// A store has one at most, and it is never deleted. One that had its key from the start has it at revision 0, before all other rows;
    /// a Pine without keys can't read this kind, and so can't append to, or delete from, a store that has one.
    case digestKey = 7
    /// A user was made, changed or deleted, a role was, or auth was enabled or disabled: see `AuthChange` for what the fields say. A Pine
    /// that does not know users can't read these kinds, and stops serving a store that has them: it would let in who may not.
    case user = 8
    case role = 9
    case authState = 10

    /// Whether whoever folds the row needs its value, and not only the value's length.
    package var needsValue: Bool {
        switch self {
        case .user, .role, .authState: true
        case .put, .delete, .grant, .revoke, .compact, .alarm, .digestKey: false
        }
    }
}
