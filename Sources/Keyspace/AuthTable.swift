// Owns: users, roles and what clients' claims are worth: as readers see them, and at the tip, where writes are judged.
// Must never: judge a read by what is not committed; keep a row's place after another row took its.
// Invariants: the two states differ by the changes in the journal, which are in the order of their rows.
package import Auth
internal import Bytes
package import EtcdAPI

/// A store's own. A class, since what claims are worth is noted down also for those who only look.
package final class AuthTable {
    /// By which state something is judged.
    package enum View: Sendable {
        case tip
        case committed
    }

    private struct State: Sendable {
        var store = AuthStore()
        var mark = AuthStateMark()
    }

    private struct Entry {
        let position: Position
        let change: AuthChange
        let revision: UInt64
        let mark: AuthStateMark
        let undo: AuthUndo
        let markBefore: AuthStateMark
        let rowsBefore: AuthRows.Undo
    }

    private var tip = State()
    private var committed = State()
    private var rows = AuthRows()
    private var journal: [Entry] = []
    private var tokens: SimpleTokens?

    /// - Parameter tokenTimeToLiveMs: of simple tokens; nil where clients show JSON Web Tokens instead.
    package init(tokenTimeToLiveMs: UInt64?) {
        tokens = tokenTimeToLiveMs.map { SimpleTokens(timeToLiveMs: $0) }
    }

    package var tokenTimeToLiveMs: UInt64? { tokens?.timeToLiveMs }

    /// Whether calls are judged by who makes them.
    package func isEnabled(_ view: View) -> Bool { view == .tip ? tip.store.isEnabled : committed.store.isEnabled }

    /// As readers see them.
    package var store: AuthStore { committed.store }

    // MARK: Rows

    /// Takes in the row after the tip. Gives the places of rows that nothing needs any more once this one is compacted.
    func fold(_ row: LogRow) -> [Position] {
        guard let authRow = row.authRow, let change = authRow.change else { return [] }
        let mark = AuthStateMark()
        let (dead, rowsBefore) = rows.fold(authRow, at: row.position)
        journal.append(
            Entry(
                position: row.position, change: change, revision: authRow.authRevision, mark: mark,
                undo: tip.store.fold(change, revision: authRow.authRevision), markBefore: tip.mark, rowsBefore: rowsBefore))
        tip.mark = mark
        return dead
    }

    func commit(through position: Position) {
        guard let first = journal.first, first.position <= position else { return }
        let end = journal.firstIndex { $0.position > position } ?? journal.endIndex
        for entry in journal[..<end] {
            committed.store.fold(entry.change, revision: entry.revision)
            committed.mark = entry.mark
        }
        journal.removeSubrange(..<end)
    }

    func rollBack(after position: Position) {
        while let last = journal.last, last.position > position {
            journal.removeLast()
            tip.store.undo(last.undo)
            tip.mark = last.markBefore
            rows.undo(last.rowsBefore)
        }
    }

    // MARK: Who it is

    /// Who makes a call. Where auth is not enabled nobody is asked who he is.
    package func identity(of principal: Principal, _ view: View) throws(EtcdError) -> Identity {
        guard isEnabled(view) else { return .nobody }
        guard let credentials = principal.credentials else { return .nobody }
        return try standing(of: credentials, view).identity.get()
    }

    /// What the client may do with keys.
    package func rights(of principal: Principal, _ view: View) throws(EtcdError) -> Rights {
        guard isEnabled(view) else { return .everything }
        guard let credentials = principal.credentials else { return .refused(.userEmpty) }
        let standing = standing(of: credentials, view)
        _ = try standing.identity.get()
        return standing.rights
    }

    /// What the client may do with the keys of leases.
    package func leaseRights(of principal: Principal, _ view: View) throws(EtcdError) -> Rights {
        guard isEnabled(view) else { return .everything }
        if principal.claim == .process { return .everything }
        let identity = try identity(of: principal, view)
        return view == .tip ? tip.store.leaseRights(of: identity) : committed.store.leaseRights(of: identity)
    }

    /// Whether the client has the role root: what administration asks for.
    package func checkAdmin(_ principal: Principal, _ view: View) throws(EtcdError) {
        guard isEnabled(view), principal.claim != .process else { return }
        let identity = try identity(of: principal, view)
        try (view == .tip ? tip.store : committed.store).checkAdmin(identity)
    }

    /// Whether the client has said who it is.
    package func checkPresent(_ principal: Principal, _ view: View) throws(EtcdError) {
        guard isEnabled(view), principal.claim != .process else { return }
        let identity = try identity(of: principal, view)
        try (view == .tip ? tip.store : committed.store).checkPresent(identity)
    }

    private func standing(of credentials: Credentials, _ view: View) -> Standing {
        if view == .tip { return Self.standing(of: credentials, in: &tip, &tokens) }
        return Self.standing(of: credentials, in: &committed, &tokens)
    }

    private static func standing(of credentials: Credentials, in state: inout State, _ tokens: inout SimpleTokens?) -> Standing {
        if let known = credentials.standing, known.state === state.mark { return known }
        // All stores of a process share these credentials, so nothing is noted down in them.
        if case .process = credentials.claim { return Standing(state: state.mark, identity: .success(.nobody), rights: .everything) }
        let identity: Result<Identity, EtcdError>
        do throws(EtcdError) {
            identity = .success(try Self.identity(credentials, state.store, &tokens))
        } catch {
            identity = .failure(error)
        }
        let rights: Rights =
            switch identity {
            case .success(let identity): state.store.rights(of: identity)
            case .failure(let error): .refused(error)
            }
        let standing = Standing(state: state.mark, identity: identity, rights: rights)
        credentials.standing = standing
        return standing
    }

    private static func identity(
        _ credentials: Credentials, _ store: AuthStore, _ tokens: inout SimpleTokens?
    ) throws(EtcdError) -> Identity {
        switch credentials.claim {
        case .process: violated("the process needs no proof of itself")
        case .user(let name, let revision): return .user(name, revision: revision)
        case .invalid: throw .invalidAuthToken
        case .token(let text):
            guard let identity = try tokens?.identity(of: text, in: store, nowMs: credentials.seenMs) else { throw .invalidAuthToken }
            return identity
        }
    }

    // MARK: Changes

    /// What `command` changes at the tip, and the auth revision after it.
    func changes(for command: AuthCommand, by principal: Principal) throws(EtcdError) -> (changes: [AuthChange], revision: UInt64) {
        let changes = try tip.store.changes(for: command, by: try identity(of: principal, .tip))
        return (changes, tip.store.revision(after: changes))
    }
}

extension LogRow {
    init(_ change: AuthChange, authRevision: UInt64, at position: Position, origin: Int64) {
        let row = AuthRow(change, authRevision: authRevision)
        guard let kind = RowKind(rawValue: row.kind.rawValue) else { violated("no row can be of kind \(row.kind)") }
        self.init(
            position: position, kind: kind, key: row.key, value: row.value, createRevision: Revision(row.number),
            version: Int64(bitPattern: row.authRevision), origin: origin)
    }

    /// What the row says of users, roles and auth; nil where it is about something else.
    var authRow: AuthRow? {
        AuthRow.Kind(rawValue: kind.rawValue).map {
            AuthRow(kind: $0, key: key, value: value, number: createRevision.rawValue, authRevision: UInt64(bitPattern: version))
        }
    }
}
