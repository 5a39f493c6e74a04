// Owns: the head's lock as far as leases expire under it: when it may be asked for again, and which revokes are made under it.
//
//          asked             locked              revoked                expired, or undone
//   idle ─────────▶ asked ────────────▶ idle ───────────────▶ revoked ────────────────────▶ idle
//     ▲               │                  │  revokePaused         ▲
//     │    failed     │                  ▼                       │ revoked
//     └───────────────┴──────────────  paused ───────────────────┘
//
// Must never: take half of the log's time or more, which is the writers'.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

struct ExpiryLock {
    private enum Stage {
        case idle
        /// Since then, with leases to expire.
        case asked(at: Instant)
        /// The store is in the middle of this lease's revoke.
        case paused(LeaseID)
        /// The append under way revokes these: their deadlines are gone with it.
        case revoked(Set<LeaseID>)
    }

    private var stage = Stage.idle
    /// The lock is not asked for before.
    private(set) var nextAt = Instant(nanoseconds: 0)

    /// Whether the store is in the middle of a revoke.
    var isPaused: Bool {
        if case .paused = stage { true } else { false }
    }

    /// Whether the lease's deadline goes with the append under way.
    func isRevoking(_ lease: LeaseID) -> Bool {
        if case .revoked(let leases) = stage { leases.contains(lease) } else { false }
    }

    /// Nothing may expire at present.
    mutating func postponed(until at: Instant) { nextAt = at }

    mutating func asked(_ now: Instant) { stage = .asked(at: now) }

    /// The head is locked; with leases to expire, where it was asked for them.
    mutating func locked(_ now: Instant) {
        guard case .asked(let at) = stage else { return }
        stage = .idle
        // Half of the time is the writers'.
        let tookMs = Int((now.nanoseconds - at.nanoseconds) / 1_000_000)
        nextAt = now.advanced(byMs: max(tookMs * 2, pauseMs))
    }

    /// The lock was not given, or is given back with nothing done.
    mutating func failed() { stage = .idle }

    /// The revoke of a lease takes more than a turn.
    mutating func revokePaused(_ lease: LeaseID) { stage = .paused(lease) }

    /// These are revoked by the append that follows, or none is.
    mutating func revoked(_ leases: [LeaseID]) { stage = leases.isEmpty ? .idle : .revoked(Set(leases)) }

    /// The append is in the log, or it is known that it isn't.
    mutating func settled() {
        if case .revoked = stage { stage = .idle }
    }

    /// Traps where the lock's rules are broken.
    func invariants() {
        if case .revoked(let leases) = stage { invariant(!leases.isEmpty, "an append is waited for that revokes nothing") }
    }
}

/// Between two appends that expire leases.
private let pauseMs = 20
