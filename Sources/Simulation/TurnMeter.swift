// Owns: counting what a turn of a process does.
internal import Calls
internal import Keyspace
internal import Replica

/// Counts what a turn does.
struct TurnMeter {
    private let visitedKeys: UInt64
    private let rowsFolded: UInt64
    private let tip: Position

    init(_ replica: borrowing Replica) {
        visitedKeys = replica.store.index.visitedKeys
        rowsFolded = replica.counters.rowsFolded
        tip = replica.store.tip
    }

    func end(_ replica: borrowing Replica, _ actions: [Action], isOpen: (CallID) -> Bool) -> TurnWork {
        var work = TurnWork()
        // An index that was made anew counts from nothing.
        let visited = replica.store.index.visitedKeys
        work.visitedKeys = Int(visited < visitedKeys ? visited : visited - visitedKeys)
        let newTip = replica.store.tip
        if newTip > tip { work.executedRows = Int(newTip.sub) - (newTip.revision == tip.revision ? Int(tip.sub) : -1) }
        work.foldedRows = Int(replica.counters.rowsFolded - rowsFolded)
        for action in actions {
            switch action {
            case .answer(let id, .respond(let message)):
                work.noteAnswer([message])
                if !isOpen(id) { work.wastedBytes += message.count }
            case .answer(_, .send(let message, _)): work.noteAnswer([message])
            case .answer(_, .sendParts(let parts, _)): work.noteAnswer(parts)
            case .log(.appending(.append(let batch))): work.madeRows += batch.rows.count
            default: break
            }
        }
        return work
    }
}
