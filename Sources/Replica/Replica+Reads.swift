// Owns: the read path: what the head reader is told, and the answers.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

extension Replica {
    mutating func arrive(_ read: consuming PendingRead, serializable: Bool) {
        if serializable && isLoaded && readyReads.count < configuration.waitingLimit {
            // Not at once: whether the client has given up shows at the turn's end, when all has been heard.
            readyReads.arrived(read)
        } else if headReader.arrivedCount < configuration.waitingLimit {
            headReader.arrived(read)
        } else {
            actions.append(.fail(read.id, .tooManyRequests))
        }
    }

    /// Asks where the log ends for all reads that have arrived.
    mutating func startHeadRead() {
        guard headReader.readStarted(committed: store.committed, now: now) else { return }
        counters.headReads += 1
        actions.append(.log(.readHead))
    }

    mutating func headRead(_ head: Head) {
        guard let since = headReader.headHeard(head) else { return }
        if isOther(head, since: since) { return historyChanged() }
        follower.headHeard(head)
        confirmReads()
    }

    /// Answers the reads whose head has been reached, or sees to it that it will be.
    mutating func confirmReads() {
        switch headReader.folded(to: store.committed) {
        case .nothing: return
        // With an append in flight the rows may be our own: its answer is on the way.
        case .behind: if !writes.hasBatches { startTailRead() }
        case .reached:
            let confirmed = headReader.takeConfirmed()
            noteSlow(confirmed)
            for read in confirmed {
                // Reads that came before are answered before.
                if readyReads.lets(read, pass: turnBudget) { answer(read) } else { readyReads.arrived(read) }
            }
            headReader.recycle(consume confirmed)
        }
    }

    /// Fails the reads that have waited too long.
    mutating func expireReads() {
        let timeout = configuration.requestTimeoutMs
        for read in headReader.expired(timeoutMs: timeout, now: now) + readyReads.expired(timeoutMs: timeout, now: now) {
            if case .watchProgress = read.kind {
                progressExpired(read.id)
                continue
            }
            counters.readsFailed += 1
            noteTimeout(read.id, arrivedAt: read.arrivedAt, key: read.subject)
            respond(read.id, .failure(.timeout))
        }
    }

    /// Answers those that need not wait, as far as the turn goes.
    mutating func answerReady() {
        while let read = readyReads.next(within: turnBudget) { answer(read) }
    }

    /// Whether reads are left that need no event.
    var hasReadsToAnswer: Bool { isLoaded && (!readyReads.isEmpty || scans.hasWork) }

    /// Answers from the store as committed.
    mutating func answer(_ read: PendingRead, with fetched: [Position: ByteString] = [:]) {
        counters.readsAnswered += 1
        if store.auth.isEnabled(.committed), let refusal = refusal(of: read) { return respond(read.id, .failure(refusal)) }
        switch read.kind {
        case .range(let request): answerRange(read, request, fetched)
        case .rangeStream(let request): startStream(read.id, request)
        case .txn(let txn):
            let readTxn = ReadTxn(txn, header: header, revision: store.revision, compactRevision: store.compactRevision)
            let answer = AnswerBuilder(readTxn, byteLimit: configuration.answerByteLimit)
            startScan(of: read, answer, key: ByteString(), with: fetched, since: now)
        case .revision:
            actions.append(.reportRevision(read.id, store.revision))
        case .alarms(let kind, _):
            var writer = ByteWriter(capacity: 64)
            AlarmResponse(header: header(at: store.revision), alarms: store.committedAlarms.members(of: kind)).encode(into: &writer)
            actions.append(.respond(read.id, writer.finish()))
        case .hashKV(let revision): startHash(read.id, at: revision)
        case .hash: startHash(read.id, at: 0, isPlain: true)
        case .auth(let question): answerAuth(read, question)
        case .snapshot(let members): startSnapshot(read.id, members)
        case .watchProgress:
            confirmProgress(read.id)
        case .unchanged(let write, let answer, let position, let digest):
            if position == store.committed, digest == store.committedDigest {
                respond(read.id, answer, arrivedAt: write.arrivedAt)
            } else if writes.isAppending, position > store.committed {
                // What it was executed behind may still turn out to be so.
                headReader.arrived(read)
            } else {
                executeAgain(write)
            }
        }
    }

    /// What a client is told that may not ask this; nil where it may.
    private func refusal(of read: PendingRead) -> EtcdError? {
        let principal = read.principal
        do throws(EtcdError) {
            switch read.kind {
            case .range(let request), .rangeStream(let request): try store.check(request, by: principal)
            case .txn(let txn): try store.check(txn, by: principal)
            case .revision(let need), .alarms(_, let need): try store.check(need, by: principal)
            case .hashKV, .hash, .snapshot: try store.check(.administration, by: principal)
            // Watches are judged as they are created, writes as they are executed, and questions about users by what they ask.
            case .watchProgress, .unchanged, .auth: break
            }
            return nil
        } catch {
            return error
        }
    }

    private mutating func answerAuth(_ read: PendingRead, _ question: AuthQuestion) {
        do throws(EtcdError) {
            switch try store.answer(question, by: read.principal, header: header) {
            case .message(let message): actions.append(.respond(read.id, message))
            case let answer: actions.append(.answer(read.id, .auth(answer)))
            }
        } catch {
            actions.append(.fail(read.id, error))
        }
    }

    /// The log has moved on since the write was executed without effect. If it still has none, this is the answer, since
    /// the log's end was learnt after the write had arrived.
    private mutating func executeAgain(_ write: PendingWrite) {
        guard !writes.hasBatches, !isRevoking else {
            writes.putBack(write)
            return
        }
        store.abandon()
        var rows: [LogRow] = []
        var visits = configuration.turnKeyLimit
        do throws(ExecutionError) {
            let answer = try store.execute(
                write.request, by: write.principal, with: write.values, header: header, origin: configuration.origin, rows: &rows,
                visits: &visits)
            if let answer, rows.isEmpty {
                respond(write.id, .success(answer), arrivedAt: write.arrivedAt)
            } else {
                store.rollBack()
                writes.putBack(write)
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
