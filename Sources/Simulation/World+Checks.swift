// Owns: what is looked at once a run has come to rest: the order of all calls, reads that were answered from memory, what
// informers know.
internal import Bytes
internal import EtcdAPI
internal import Keyspace
internal import Replica

extension World {
    func checkEnd() {
        guard failure == nil else { return }
        for informer in informers {
            if let difference = informer.difference(from: log.era.archive) { return fail(difference) }
        }
        for process in processes {
            let lagging = process.watchCounts.lagging
            if lagging > 0 { return fail("process \(process.index) has \(lagging) lagging watchers at rest") }
        }
        checkReads()
        checkOrder()
    }

    /// Each serializable read showed what was true at its revision.
    private func checkReads() {
        let reads = serializableReads.sorted { $0.revision < $1.revision }
        var truths: [[ByteString: KeyValue]] = log.eras.map { _ in [:] }
        var folded = log.eras.map { _ in 0 }
        for read in reads {
            var isTrue = false
            for (index, era) in log.eras.enumerated() {
                while folded[index] < era.archive.count, era.archive[folded[index]].position.revision <= read.revision {
                    let row = era.archive[folded[index]]
                    if row.kind == .put { truths[index][row.key] = KeyValue(row) }
                    if row.kind == .delete { truths[index][row.key] = nil }
                    folded[index] += 1
                }
                isTrue = isTrue || read.kvs == truths[index].values.sorted { $0.key < $1.key }
            }
            if !isTrue { return fail("a serializable read at \(read.revision) showed what never was") }
        }
    }

    /// Finds an order for all calls of each history.
    private func checkOrder() {
        for index in log.eras.indices {
            let era = log.eras[index]
            let end = index + 1 < log.eras.count ? log.eras[index + 1].stamp : .max
            var calls: [Operation] = []
            for operation in operations where operation.began < end {
                if operation.began < era.stamp {
                    // Under way when the history before ended: it may still be done in this one.
                    if (operation.ended ?? .max) > era.stamp { calls.append(operation.unanswered) }
                } else {
                    calls.append((operation.ended ?? 0) < end ? operation : operation.unanswered)
                }
            }
            addHidden(era, &calls)
            giveHints(era, calls)
            var check = LinearizabilityCheck(calls)
            switch check.run(from: ModelStore(folding: era.archive.prefix(era.sharedCount))) {
            case .linearizable: break
            case .notLinearizable(let text): return fail("no order: \(text)")
            case .undecided(let text): return fail("no order was found in time: \(text)")
            }
        }
    }

    /// What nobody asked for: leases end, and revisions are raised.
    private func addHidden(_ era: Era, _ calls: inout [Operation]) {
        var at = era.sharedCount
        for commit in era.commits {
            for row in era.archive[at..<commit.archived] {
                let call: ModelCall
                if row.kind == .revoke {
                    call = .expire(row.lease)
                } else if row.isRaise {
                    call = .raise(row.position.revision)
                } else {
                    continue
                }
                let hidden = Operation(number: -calls.count, call: call, began: commit.stamp)
                // Where a client is known to have done it, there is nothing left to be done.
                let isClients = calls.contains { if case .done? = $0.answer { $0.call == .revoke(row.lease) } else { false } }
                if row.kind == .compact || !isClients { hidden.hint = row.position }
                calls.append(hidden)
            }
            at = commit.archived
        }
    }

    /// Guesses which open calls made which rows.
    private func giveHints(_ era: Era, _ calls: [Operation]) {
        var claimed: Set<Revision> = []
        for call in calls where call.call.mayDelete { if let revision = call.answer?.revision { claimed.insert(revision) } }
        for row in era.archive where row.kind == .revoke { claimed.insert(row.position.revision) }
        // Compactions whose answers are known made rows, too.
        var known: [Revision: [Revision]] = [:]
        for call in calls {
            if case .compact(let wanted) = call.call, case .done(let revision)? = call.answer {
                known[wanted, default: []].append(revision)
            }
        }
        let open = calls.filter { $0.answer == nil && $0.hint == nil }
        var byValue: [ByteString: Operation] = [:]
        for call in open { for value in call.call.values { byValue[value] = call } }
        for row in era.archive.dropFirst(era.sharedCount) {
            let maker: Operation?
            switch row.kind {
            case .put: maker = byValue[row.value]
            case .grant: maker = open.first { if case .grant(row.lease, _) = $0.call { $0.hint == nil } else { false } }
            case .compact where known[row.version]?.contains(row.position.revision) == true: maker = nil
            case .compact:
                maker = open.first { $0.call == .compact(row.version) && $0.origin == row.origin && $0.hint == nil }
            case .delete where !claimed.contains(row.position.revision):
                maker = open.first { $0.origin == row.origin && $0.hint == nil && $0.call.mayDelete }
            case .delete, .revoke, .alarm: maker = nil
            }
            guard let maker, maker.hint == nil else { continue }
            maker.hint = row.position
            claimed.insert(row.position.revision)
        }
    }
}

extension ModelCall {
    /// The values that it writes.
    fileprivate var values: [ByteString] {
        switch self {
        case .put(let put): put.value.isEmpty ? [] : [put.value]
        case .txn(let txn): (txn.success + txn.failure).flatMap(\.values)
        default: []
        }
    }

    fileprivate var mayDelete: Bool {
        switch self {
        case .deleteRange, .txn, .put: true
        default: false
        }
    }
}

extension RequestOp {
    fileprivate var values: [ByteString] {
        switch self {
        case .put(let put): put.value.isEmpty ? [] : [put.value]
        case .txn(let txn): (txn.success + txn.failure).flatMap(\.values)
        case .range, .deleteRange, .empty: []
        }
    }
}
