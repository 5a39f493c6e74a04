// Owns: what is looked at once a run has come to rest: the order of all calls, reads that were answered from memory, what
// informers know.
internal import Bytes
internal import EtcdAPI
internal import Keyspace
internal import LogModel
internal import Replica

extension World {
    func checkEnd() {
        guard failure == nil else { return }
        for informer in informers {
            if let difference = informer.difference(from: log.era.archive) { return fail(difference) }
        }
        if !log.tables.isWell { return fail("the log's rows are not those that were appended and not deleted") }
        let lost = lostTops(by: log.tables.head)
        if let top = lost.first { return fail("\(top.position) was served and is lost, and nobody was told") }
        for process in processes {
            let lagging = process.watchCounts.lagging
            if lagging > 0 { return fail("process \(process.index) has \(lagging) lagging watchers at rest") }
        }
        checkReads()
        checkHeavyReads()
        checkOrder()
    }

    /// Each read of many keys showed what was true at its revision, whatever else went on while it was made.
    private func checkHeavyReads() {
        let reads = heavyReads.sorted { ($0.answer.revision ?? 0) < ($1.answer.revision ?? 0) }
        var isTrue = [Bool](repeating: false, count: reads.count)
        for era in log.eras {
            var store = ModelStore()
            var folded = 0
            for (index, read) in reads.enumerated() where !isTrue[index] {
                while folded < era.archive.count, era.archive[folded].position.revision <= read.answer.revision ?? 0 {
                    store.fold(era.archive[folded])
                    folded += 1
                }
                var copy = store
                isTrue[index] = copy.apply(read.call) == read.answer
            }
        }
        if let wrong = isTrue.firstIndex(of: false) {
            fail("a read of many keys at \(reads[wrong].answer.revision ?? 0) showed what never was: \(reads[wrong].call)")
        }
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
            for operation in operations where operation.began < end && !wasRefusedForSpace(operation) {
                if operation.began < era.stamp {
                    // Under way when the history before ended: it may still be done in this one.
                    if (operation.ended ?? .max) > era.stamp { calls.append(operation.unanswered) }
                } else {
                    calls.append((operation.ended ?? 0) < end ? operation : operation.unanswered)
                }
            }
            addHidden(era, &calls)
            var check = LinearizabilityCheck(calls)
            let verdict = check.run(
                from: ModelStore(folding: era.archive.prefix(era.firstCount)), log: era.archive.dropFirst(era.firstCount))
            switch verdict {
            case .linearizable: break
            case .notLinearizable(let text): return fail("no order: \(text)")
            case .undecided(let text): return fail("no order was found in time: \(text)")
            }
        }
    }

    /// What the quota refuses was not done, and the model does not know what the store takes.
    private func wasRefusedForSpace(_ operation: Operation) -> Bool {
        swarm.quotaBytes > 0 && operation.answer == .failed(.noSpace)
    }

    /// What nobody asked for: leases end, revisions are raised, the quota is used up and is not any more, and compaction comes by
    /// itself.
    private func addHidden(_ era: Era, _ calls: inout [Operation]) {
        var at = era.firstCount
        for commit in era.commits {
            for row in era.archive[at..<commit.archived] {
                let call: ModelCall
                switch row.kind {
                case .revoke: call = .expire(row.lease)
                case .compact where row.isRaise: call = .raise(row.position.revision)
                case .compact where swarm.autoCompaction != .off: call = .compact(row.compactRevision)
                case .alarm where swarm.quotaBytes > 0: call = .alarm(AlarmChange(row))
                default: continue
                }
                calls.append(Operation(number: -calls.count, call: call, began: commit.stamp))
            }
            at = commit.archived
        }
    }
}
