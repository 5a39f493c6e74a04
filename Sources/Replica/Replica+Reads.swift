// Owns: the read path: who waits for which head read, and the answers.
internal import Bytes
internal import Calls
internal import DequeModule
internal import EtcdAPI
internal import Keyspace

/// A read that waits until it is known where the log ends.
struct PendingRead {
    enum Kind {
        case range(RangeRequest)
        case rangeStream(RangeRequest)
        case txn(TxnRequest)
        case revision
        /// Which alarms of a kind are raised, or of all for NONE.
        case alarms(AlarmType)
        case hashKV(Revision)
        /// A watch stream asked how far it has been served.
        case watchProgress
        /// A write that changed nothing when it was executed at this tip: true if the log ends there.
        case unchanged(PendingWrite, Result<WriteAnswer, EtcdError>, at: Position, digest: Digest)
    }

    /// Whether it takes as long in any store.
    var isBounded: Bool {
        switch kind {
        case .range, .rangeStream, .txn: false
        case .revision, .alarms, .hashKV, .watchProgress, .unchanged: true
        }
    }

    var id: CallID
    var kind: Kind
    var arrivedAt: Instant
}

/// The one head read that may be in flight, and what its answer asks for.
enum HeadRead: Equatable {
    case idle
    /// Sent when the store was at this position.
    case inFlight(since: Position)
    /// Answered: the log ended here, the fold isn't there yet.
    case mustReach(Position)
}

extension Replica {
    mutating func arrive(_ read: consuming PendingRead, serializable: Bool) {
        if serializable && isLoaded && readsReady.count < configuration.waitingLimit {
            // Not at once: whether the client has given up shows at the turn's end, when all has been heard.
            readsReady.append(read)
        } else if readsWaiting.count < configuration.waitingLimit {
            readsWaiting.append(read)
        } else {
            actions.append(.fail(read.id, .tooManyRequests))
        }
    }

    /// Asks where the log ends for everybody who waits. Whoever comes later waits for the next one: this answer may be
    /// older than they are.
    mutating func startHeadRead() {
        guard headRead == .idle, !readsWaiting.isEmpty else { return }
        swap(&readsWaiting, &readsConfirming)
        headRead = .inFlight(since: store.committed)
        headReadSentAt = now
        counters.headReads += 1
        actions.append(.log(.readHead))
    }

    mutating func headRead(_ head: Head) {
        guard !isStaleHeadAnswer() else { return }
        guard case .inFlight(let since) = headRead else { return }
        headRead = .mustReach(head.position)
        if isOther(head, since: since) { return historyChanged() }
        headRevision = max(headRevision, head.position.revision)
        confirmReads()
    }

    mutating func headReadFailed(reason: String) {
        guard !isStaleHeadAnswer() else { return }
        guard case .inFlight = headRead else { return }
        // They ask again with those that came since, until they time out.
        headRead = .idle
        readsConfirming.append(contentsOf: readsWaiting)
        readsWaiting = readsConfirming
        readsConfirming = []
    }

    /// Each read is answered once, in order.
    private mutating func isStaleHeadAnswer() -> Bool {
        guard staleHeadReads > 0 else { return false }
        staleHeadReads -= 1
        return true
    }

    /// Answers the reads whose head has been reached, or sees to it that it will be.
    mutating func confirmReads() {
        guard case .mustReach(let position) = headRead else { return }
        if store.committed < position {
            // With an append in flight the rows may be our own: its answer is on the way.
            if batches.isEmpty { startTailRead() }
            return
        }
        headRead = .idle
        let confirmed = readsConfirming
        readsConfirming = []
        noteSlow(confirmed)
        for read in confirmed {
            // Whoever came before is answered before.
            if read.isBounded || readsReady.isEmpty && turnBudget.isLeft { answer(read) } else { readsReady.append(read) }
        }
        if readsConfirming.isEmpty {
            // Hand the storage back, so that the next round need not allocate.
            readsConfirming = confirmed
            readsConfirming.removeAll(keepingCapacity: true)
        }
    }

    /// Answers those that need not wait, as far as the turn goes.
    mutating func answerReady() {
        while turnBudget.isLeft, let read = readsReady.popFirst() { answer(read) }
    }

    /// Whether reads are left that need no event.
    var hasReadsToAnswer: Bool { isLoaded && (!readsReady.isEmpty || scans.hasWork) }

    /// Answers from the store as committed.
    mutating func answer(_ read: PendingRead, with fetched: [Position: ByteString] = [:]) {
        counters.readsAnswered += 1
        switch read.kind {
        case .range(let request): answerRange(read, request, fetched)
        case .rangeStream(let request): startStream(read.id, request)
        case .txn(let txn):
            let readTxn = ReadTxn(txn, header: header, revision: store.revision, compactRevision: store.compactRevision)
            let answer = AnswerBuilder(readTxn, byteLimit: configuration.answerByteLimit)
            startScan(of: read, answer, key: ByteString(), with: fetched, since: now)
        case .revision:
            actions.append(.reportRevision(read.id, store.revision))
        case .alarms(let kind):
            var writer = ByteWriter(capacity: 64)
            AlarmResponse(header: header(at: store.revision), alarms: store.committedAlarms.members(of: kind)).encode(into: &writer)
            actions.append(.respond(read.id, writer.finish()))
        case .hashKV(let revision): startHash(read.id, at: revision)
        case .watchProgress:
            confirmProgress(read.id)
        case .unchanged(let write, let answer, let position, let digest):
            if position == store.committed, digest == store.committedDigest {
                respond(read.id, answer, arrivedAt: write.arrivedAt)
            } else if isAppending, position > store.committed {
                // What it was executed behind may still turn out to be so.
                readsWaiting.append(read)
            } else {
                executeAgain(write)
            }
        }
    }

    /// The log has moved on since the write was executed without effect. If it still has none, this is the answer, since
    /// the log's end was learnt after the write had arrived.
    private mutating func executeAgain(_ write: PendingWrite) {
        guard batches.isEmpty, !isRevoking else {
            enqueueFirst(write)
            return
        }
        store.abandon()
        var rows: [LogRow] = []
        var visits = configuration.turnKeyLimit
        do throws(ExecutionError) {
            let answer = try store.execute(
                write.request, with: write.values, header: header, origin: configuration.origin, rows: &rows, visits: &visits)
            if let answer, rows.isEmpty {
                respond(write.id, .success(answer), arrivedAt: write.arrivedAt)
            } else {
                store.rollBack()
                enqueueFirst(write)
            }
        } catch {
            switch error {
            case .lacks(let missing): park(.write(write), lacking: missing, with: write.values, arrivedAt: write.arrivedAt)
            case .refused(let error): respond(write.id, .failure(error), arrivedAt: write.arrivedAt)
            }
        }
    }

    private mutating func answerRange(_ read: PendingRead, _ request: RangeRequest, _ fetched: [Position: ByteString]) {
        counters.rangesAnswered += 1
        startRange(read, request, fetched)
    }

    /// Answers a range of a single key. False where it needs a scan.
    private mutating func answerKey(_ read: PendingRead, _ request: RangeRequest, _ fetched: [Position: ByteString]) -> Bool {
        let header = header
        do throws(ExecutionError) {
            guard let message = try store.get(request, with: fetched, header: header) else { return false }
            turnBudget.visits -= 1
            turnBudget.answerBytes -= message.count
            actions.append(.respond(read.id, message))
        } catch {
            switch error {
            case .lacks(let missing): park(.read(read), lacking: missing, with: fetched, arrivedAt: read.arrivedAt)
            case .refused(let error): actions.append(.fail(read.id, error))
            }
        }
        return true
    }

    /// Also anew, at a newer revision, where the values of the one before are gone. `since`: when it was first started.
    mutating func startRange(
        _ read: PendingRead, _ request: RangeRequest, _ fetched: [Position: ByteString], since startedAt: Instant? = nil
    ) {
        if request.rangeEnd.isEmpty, answerKey(read, request, fetched) { return }
        do throws(EtcdError) {
            let question = RangeQuestion(
                request, header: header(at: store.revision), position: store.committed, digest: store.committedDigest)
            let startedAt = startedAt ?? now
            if let question, share(question, with: ScanFollower(read: read, request: request, since: startedAt)) { return }
            let scan = try RangeScan(request, current: store.revision, compactRevision: store.compactRevision)
            let answer = AnswerBuilder(
                scan, header: header, revision: store.revision, byteLimit: configuration.answerByteLimit)
            startScan(of: read, answer, question: question, key: request.key, with: fetched, since: startedAt)
        } catch {
            actions.append(.fail(read.id, error))
        }
    }
}
