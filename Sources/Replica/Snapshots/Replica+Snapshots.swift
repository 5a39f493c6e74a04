// Owns: what snapshots are told, and where their messages go.
internal import Auth
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

extension Replica {
    mutating func startSnapshot(_ id: CallID, _ members: [SnapshotMember]) {
        if !snapshots.asked(id, members) { actions.append(.fail(id, .tooManyRequests)) }
    }

    /// What the store has of auth, for snapshots.
    private var authSnapshot: AuthSnapshot {
        let auth = store.auth.store
        var snapshot = AuthSnapshot()
        snapshot.isEnabled = auth.isEnabled
        snapshot.revision = auth.revision
        snapshot.users = auth.users.map { ($0.key, $0.value.user.encoded()) }.sorted { $0.0 < $1.0 }
        snapshot.roles = auth.roles.map { ($0.key, $0.value.encoded()) }.sorted { $0.0 < $1.0 }
        return snapshot
    }

    /// Begins those that wait, and takes one snapshot a step further.
    mutating func continueSnapshots() {
        guard !snapshots.isEmpty else { return }
        if snapshots.areStarting, store.isSettled {
            snapshots.settled(
                store, header(at: store.revision), auth: authSnapshot, windowLength: configuration.snapshotWindowLength, now: now)
        }
        for id in snapshots.takeStalled(now: now) { actions.append(.fail(id, .timeout)) }
        guard turnBudget.visits > 0, let task = snapshots.next() else { return }
        advance(task, with: [:])
    }

    private mutating func advance(_ task: SnapshotTask, with values: [Position: ByteString]) {
        var visits = configuration.sweptRowLimit
        var lookup = ValueLookup(values)
        let step = task.step(store.index, &lookup, visits: &visits)
        snapshots.valueCounts += lookup.counts
        turnBudget.visits -= configuration.sweptRowLimit - visits
        switch step {
        case .unfinished: snapshots.putBack(task)
        case .lacks(let missing):
            task.isParked = true
            snapshots.putBack(task)
            park(.snapshot(task.id), lacking: missing, arrivedAt: now)
        case .chunks(let messages):
            task.isReady = false
            task.movedAt = now
            snapshots.putBack(task)
            send(messages, to: task.id, reportDrained: true)
        case .last(let messages):
            send(messages, to: task.id, reportDrained: false)
            actions.append(.finish(task.id))
        case .overtaken: actions.append(.fail(task.id, .compacted))
        }
    }

    private mutating func send(_ messages: [ByteString], to id: CallID, reportDrained: Bool) {
        for message in messages.dropLast() { actions.append(.send(id, message, reportDrained: false)) }
        if let last = messages.last { actions.append(.send(id, last, reportDrained: reportDrained)) }
    }

    /// The values that a snapshot lacked were fetched; `isWhole`: all of them.
    mutating func resumeSnapshot(_ id: CallID, isWhole: Bool, with values: [Position: ByteString]) {
        guard let task = snapshots.takeParked(id) else { return }
        if isWhole { advance(task, with: values) } else { actions.append(.fail(id, .compacted)) }
    }

    /// A snapshot can't have the values that it lacks.
    mutating func refuseSnapshot(_ id: CallID, _ error: EtcdError) {
        if snapshots.takeParked(id) != nil { actions.append(.fail(id, error)) }
    }

    mutating func failSnapshots(_ error: EtcdError) {
        for id in snapshots.historyLost() { actions.append(.fail(id, error)) }
    }
}
