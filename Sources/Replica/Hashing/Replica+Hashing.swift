// Owns: what the machine of hashes is told, and where its answers go.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

extension Replica {
    /// - Parameter isPlain: for Hash, which is told less than HashKV.
    mutating func startHash(_ id: CallID, at revision: Revision, isPlain: Bool = false) {
        guard hashing.count < configuration.waitingLimit else {
            actions.append(.fail(id, .tooManyRequests))
            return
        }
        hashing.asked(id, for: revision, isPlain: isPlain)
    }

    /// Takes the hash under way a step further, as far as the turn goes.
    mutating func continueHashing() {
        hashing.compacted(store.takeCompactions())
        guard hashing.canGoOn, turnBudget.visits > 0 else { return }
        var visits = configuration.scanKeyLimit
        let progress = hashing.advance(store, visits: &visits)
        turnBudget.visits -= configuration.scanKeyLimit - visits
        if let number = hashing.parkedNumber { park(.hash(number), lacking: progress.missing, arrivedAt: now) }
        for outcome in progress.outcomes {
            switch outcome.answer {
            case .failure(let error): actions.append(.fail(outcome.request, error))
            case .success(let answer):
                var writer = ByteWriter(capacity: 64)
                let header = header(at: store.revision)
                if outcome.isPlain {
                    HashResponse(header: header, hash: answer.hash).encode(into: &writer)
                } else {
                    HashKVResponse(
                        header: header, hash: answer.hash, compactRevision: answer.compactRevision, hashRevision: answer.revision
                    ).encode(into: &writer)
                }
                actions.append(.respond(outcome.request, writer.finish()))
            }
        }
    }

    /// The values that the hash under way lacked were fetched.
    mutating func resumeHash(_ number: UInt64, lacking missing: [MissingValue], with values: [Position: ByteString]) {
        for missing in missing {
            if let value = values[missing.position] { store.noteChecksum(of: value, of: missing) }
        }
        if hashing.valuesRead(number, isWhole: missing.allSatisfy({ values[$0.position] != nil })) { continueHashing() }
    }

    mutating func failHashes(_ error: EtcdError) {
        for id in hashing.loadedAnew() { actions.append(.fail(id, error)) }
    }
}
