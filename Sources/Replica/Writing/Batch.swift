// Owns: writes that were executed at the tip and are being appended together, with what each is answered once they are.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

struct Batch {
    var startedAt: Instant
    var writes: [PendingWrite] = []
    /// One for each of `writes`: true only once the rows are in the log, errors included, since what they say may rest on
    /// the rows of their neighbours.
    var answers: [Result<WriteAnswer, EtcdError>] = []
    /// How many of `writes`, from the first on, have been told that it took too long.
    var timedOutCount = 0
    var append: AppendBatch
    /// Leases whose revokes come before the rows of `writes`. Their deadlines are taken out in the same transaction, so they
    /// are never tried again: what has not expired by that is found due again.
    var expired: [LeaseID] = []
    /// What the store is once its rows are in, whatever is executed behind it.
    var end: Store.Savepoint
    /// Whether it was made under the head's lock: then nothing is sent behind it.
    var isLocked: Bool
    /// Whether a lost batch's last row has been met in the log.
    var found = false

    /// The writes whose clients still wait.
    var unanswered: ArraySlice<PendingWrite> { writes[timedOutCount...] }

    /// Traps where the batch breaks its rules.
    func invariants() {
        invariant(writes.count == answers.count, "batch \(append.number) has \(answers.count) answers to \(writes.count) writes")
        invariant(timedOutCount <= writes.count, "batch \(append.number) has timed out more often than it has writes")
        invariant(!append.rows.isEmpty, "batch \(append.number) appends nothing")
        invariant(end.tip == append.newHead.position, "batch \(append.number) ends at \(append.newHead.position), the store at \(end.tip)")
        invariant(append.needsLock == !expired.isEmpty, "batch \(append.number) expires leases without needing the lock, or none with it")
        invariant(isLocked || expired.isEmpty, "batch \(append.number) expires leases without the lock")
    }
}
