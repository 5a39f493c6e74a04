// Owns: the write path: queue, batch, append, and what becomes of a batch that lost its race or its connection.
internal import Bytes
internal import DequeModule
internal import EtcdAPI
internal import Keyspace

/// A write that waits for its batch.
struct PendingWrite {
    var id: RequestID
    var request: WriteRequest
    /// Of a compaction: answer once the dead rows are deleted.
    var physical: Bool
    var arrivedAt: Instant
    /// About how much memory the request keeps alive, in bytes.
    let byteCount: Int
    /// What was read from the log for it.
    var values: [Position: ByteString] = [:]

    init(id: RequestID, request: WriteRequest, physical: Bool, arrivedAt: Instant) {
        self.id = id
        self.request = request
        self.physical = physical
        self.arrivedAt = arrivedAt
        byteCount = request.byteCount
    }
}

/// Writes that were executed at the tip and are being appended together.
struct Batch {
    enum Stage {
        case appending
        /// The outcome is unknown.
        case lost
    }

    var stage = Stage.appending
    var startedAt: Instant
    var writes: [PendingWrite] = []
    /// One for each of `writes`: true only once the rows are in the log, errors included, since what they say may rest on
    /// the rows of their neighbours.
    var answers: [Result<ByteString, EtcdError>] = []
    /// How many of `writes`, from the first on, have been told that it took too long.
    var timedOutCount = 0
    var append: AppendBatch
    /// Leases whose revokes come before the rows of `writes`. Their deadlines are taken out in the same transaction, so they
    /// are never tried again: what has not expired by that is found due again.
    var expired: [LeaseID] = []
    /// Of a lost batch: what was committed before it.
    var recoverSince = Position.start
    /// Of a lost batch: the epoch that was raised so that it can't be appended any more.
    var recoveredEpoch: Int64?
    /// Whether a lost batch's last row has been met in the log.
    var found = false

    /// Those whose clients still wait.
    var unanswered: ArraySlice<PendingWrite> { writes[timedOutCount...] }
}

extension Replica {
    mutating func enqueue(_ write: consuming PendingWrite) {
        // One is always let in, however large.
        guard writes.count < configuration.waitingLimit,
            writes.isEmpty || waitingWriteBytes + write.byteCount <= configuration.waitingByteLimit
        else {
            respond(write.id, .failure(.tooManyRequests))
            return
        }
        waitingWriteBytes += write.byteCount
        writes.append(write)
    }

    /// Puts a write that was taken out already back in front; there is always room for it.
    mutating func enqueueFirst(_ write: PendingWrite) {
        waitingWriteBytes += write.byteCount
        writes.prepend(write)
    }

    // MARK: Starting

    /// Whether nothing stands in the way of the next batch. Where the log is known to go on, an append would lose its race.
    var canStartBatch: Bool { batch == nil && !lockInFlight && unverified.isEmpty }

    mutating func startBatch() {
        guard canStartBatch else { return }
        let expiring = takeExpiring()
        // A busy neighbour always gets there first: queue up at the row lock instead.
        if expiring != nil || (racesLostInARow >= 2 && !writes.isEmpty) {
            lockInFlight = true
            lockSince = store.committed
            actions.append(.log(.lockHead(after: store.committed, expiring: expiring)))
        } else if !writes.isEmpty {
            executeBatch()
        }
    }

    /// Executes as many waiting writes as fit, and appends their rows. Those of a batch that changes nothing are reads in
    /// the end: they wait until it is known that the log still ends here. Leases that have expired go first.
    mutating func executeBatch(expired: [LeaseID] = []) {
        var taken: [PendingWrite] = []
        var answers: [Result<ByteString, EtcdError>] = []
        var rows: [LogRow] = []
        var bytes = 0
        let header = header
        let revoked = revoke(expired, &rows)
        while rows.count < configuration.batchRowLimit, bytes < configuration.batchByteLimit, let write = writes.popFirst() {
            waitingWriteBytes -= write.byteCount
            let before = rows.count
            if !write.values.isEmpty { store.cold.fetched = write.values }
            defer { if !write.values.isEmpty { store.cold.fetched = [:] } }
            do {
                answers.append(
                    .success(try store.execute(write.request, header: header, origin: configuration.origin, rows: &rows)))
                for row in rows[before...] { bytes += row.key.count + row.value.count }
            } catch {
                // It waits for its values; those behind it need not.
                if store.cold.hasMissing {
                    park(.write(write), with: write.values, arrivedAt: write.arrivedAt)
                    continue
                }
                // Where an alarm refuses it there is nothing more to raise.
                if error == .noSpace, !store.alarms.contains(.noSpace) { upkeep.wasRefusedForSpace = true }
                answers.append(.failure(error))
            }
            taken.append(write)
        }
        guard !rows.isEmpty else {
            for (write, answer) in zip(taken, answers) {
                readsWaiting.append(
                    PendingRead(
                        id: write.id, kind: .unchanged(write, answer, at: store.committed), arrivedAt: write.arrivedAt))
            }
            startHeadRead()
            return
        }
        let newHead = Head(
            clusterID: clusterID, position: store.tip, digest: store.tipDigest, epoch: epoch,
            compactRevision: store.tipCompactRevision)
        let append = AppendBatch(
            number: nextBatchNumber, expectedDigest: store.committedDigest, expectedEpoch: epoch, newHead: newHead, rows: rows,
            needsLock: !revoked.isEmpty)
        nextBatchNumber += 1
        batch = Batch(startedAt: now, writes: taken, answers: answers, append: append, expired: revoked)
        actions.append(.log(.append(append)))
    }

    // MARK: Outcomes

    /// A write has waited for as long as any may.
    mutating func fail(_ write: PendingWrite) {
        counters.writesFailed += 1
        noteTimeout(write.id, arrivedAt: write.arrivedAt, key: write.request.subject)
        respond(write.id, .failure(.timeout))
    }

    mutating func appended(_ number: UInt64) {
        if raiseAppended(number) { return }
        guard let done = batch, done.append.number == number else { return }
        batch = nil
        racesLostInARow = 0
        counters.batchesAppended += 1
        counters.rowsAppended += UInt64(done.append.rows.count)
        store.commit()
        committed(done.append.rows, own: true)
        leasesExpired(done.expired)
        answer(done)
        confirmReads()
    }

    mutating func conflicted(_ number: UInt64, _ tail: Tail) {
        if raiseFailed(number) { return }
        guard let lost = batch, lost.append.number == number else { return }
        batch = nil
        racesLostInARow += 1
        counters.racesLost += 1
        store.rollBack()
        requeue(lost)
        // Their deadlines may be out nevertheless.
        leases.touched.formUnion(lost.expired)
        fold(tail, since: store.committed)
    }

    mutating func headLocked(_ tail: Tail, expired: [LeaseID]) {
        guard lockInFlight else { return }
        lockInFlight = false
        racesLostInARow = 0
        fold(tail, since: lockSince)
        expiryLocked(expired)
        // The lock is the next append's; without one it must be given back.
        let isAtHead = phase == .serving && tail.reachesHead && unverified.isEmpty
        if isAtHead, !writes.isEmpty || !expired.isEmpty { executeBatch(expired: expired) }
        // Deadlines without a lease, of which nothing else was left, stay out.
        if batch == nil { actions.append(.log(.unlockHead(keepingRemovals: isAtHead && !expired.isEmpty))) }
    }

    mutating func appendLost(_ number: UInt64, reason: String) {
        if raiseFailed(number) { return }
        guard batch?.append.number == number else { return }
        counters.appendsLost += 1
        batch?.stage = .lost
        phase = .recovering
        store.rollBack()
        batch?.recoverSince = store.committed
        actions.append(.note(.appendLost(reason: reason)))
        actions.append(.log(.recover(after: store.committed)))
    }

    mutating func lockLost(reason: String) {
        guard lockInFlight else { return }
        lockInFlight = false
        expiryFailed()
        actions.append(.note(.readFailed(reason: reason)))
    }

    /// The log is folded past the point where a lost batch would be: it is there, or never will be.
    mutating func settleLostBatch() {
        guard let lost = batch, lost.stage == .lost else { return }
        batch = nil
        phase = .serving
        counters.servingPeriods += 1
        actions.append(.note(.appendRecovered(committed: lost.found)))
        if lost.found {
            leasesExpired(lost.expired)
            answer(lost)
        } else {
            requeue(lost)
        }
    }

    private mutating func answer(_ batch: Batch) {
        noteSlow(batch)
        for (write, answer) in zip(batch.unanswered, batch.answers[batch.timedOutCount...]) {
            if case .success(let message) = answer, write.physical, case .compact(let revision) = write.request {
                waitForSweep(PhysicalWaiter(id: write.id, revision: revision, message: message))
            } else {
                respond(write.id, answer)
            }
        }
    }

    mutating func respond(_ id: RequestID, _ answer: Result<ByteString, EtcdError>) {
        if id.isOwn { return upkeepAnswered(id, answer) }
        switch answer {
        case .success(let message): actions.append(.respond(id, message))
        case .failure(let error): actions.append(.fail(id, error))
        }
    }

    /// Puts a batch's writes back in front of the others, in their order.
    private mutating func requeue(_ batch: Batch) {
        for write in batch.unanswered.reversed() { enqueueFirst(write) }
    }
}
