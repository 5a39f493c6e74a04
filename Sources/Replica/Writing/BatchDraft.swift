// Owns: writes that are executed at the store's tip and not sent yet, the rows that they made, and what they are answered.
// Must never: leave the rows of a write in the store that is not among `writes`, unless the store `isPaused` in the middle of it.
//
// Revokes of leases that have expired come before all writes: their rows are put in by whoever executes them.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

struct BatchDraft {
    /// A write that can't be executed before these values are read.
    struct Lacking {
        var write: PendingWrite
        var values: [MissingValue]
    }

    /// Where the log ends before it.
    let start: Digest
    /// Whether it is made under the head's lock.
    let isLocked: Bool
    /// Leases whose revokes come first.
    var expired: [LeaseID] = []
    var rows: [LogRow] = []
    /// How many more keys may be looked at in this turn.
    var visits: Int
    private(set) var writes: [PendingWrite] = []
    /// One for each of `writes`.
    private(set) var answers: [Result<WriteAnswer, EtcdError>] = []
    private(set) var lacking: [Lacking] = []
    /// Whether a write was refused for want of space, and no alarm was the reason.
    private(set) var exceedsQuota = false

    init(behind savepoint: Store.Savepoint, isLocked: Bool, visits: Int) {
        start = savepoint.digest
        self.isLocked = isLocked
        self.visits = visits
    }

    /// Executes waiting writes while there is room, but for those that lack values: others need not wait for these. Where one takes more
    /// than a turn it is the queue's first again, and the store `isPaused` in the middle of it if it is alone.
    mutating func fill(
        from queue: inout WriteQueue, _ store: inout Store, header: ResponseHeader, origin: Int64, rowLimit: Int, byteLimit: Int
    ) {
        var byteCount = 0
        while rows.count < rowLimit, byteCount < byteLimit, visits > 0, var write = queue.takeFirst() {
            let rowsBefore = rows.count
            let wentOn = store.isPaused
            do throws(ExecutionError) {
                let answer = try store.execute(
                    write.request, by: write.principal, with: write.values, header: header, origin: origin, rows: &rows, visits: &visits)
                guard let answer else {
                    // What was executed before it is sent first.
                    let isAlone = writes.isEmpty && rows.isEmpty
                    if !isAlone { store.abandon() }
                    if writes.isEmpty && !wentOn { write.pauseCount += 1 }
                    queue.paused(write, goesOn: isAlone)
                    return
                }
                answers.append(.success(answer))
                for row in rows[rowsBefore...] { byteCount += row.key.count + row.value.count }
            } catch {
                switch error {
                case .lacks(let missing):
                    lacking.append(Lacking(write: write, values: missing))
                    continue
                case .refused(let error):
                    // Where an alarm refuses it there is nothing more to raise.
                    if error == .noSpace, !store.alarms.contains(.noSpace) { exceedsQuota = true }
                    answers.append(.failure(error))
                }
            }
            writes.append(write)
        }
    }
}
