// Owns: the Watch service of one loop: hands what clients send on their streams to the engine.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import GRPC
internal import Replica

extension LoopServices {
    func watchStarted(_ call: CallID) {
        openStreams.insert(call)
        batch.append(.event(.watchOpened(call, by: .anonymous)))
        if isFlagged(call) { batch.append(.event(.leaderRequired(call))) }
    }

    func watchRequested(_ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: WatchRequest = try decode(message)
        batch.append(.event(.watchRequested(call, request)))
        watchRequestsUnderWay += 1
        guard watchRequestsUnderWay >= watchRequestLimit else { return }
        calls.pauseInput(call)
        pausedWatches.append(call)
        // Once for all that are paused until it is answered.
        guard watchRequestsUnderWay == watchRequestLimit else { return }
        batch.append(.ping { [calls] in calls.execute { ($0.handler as? LoopServices)?.watchRequestsTaken() } })
    }

    /// The engine has taken all watch requests up to the one that was the last to fit.
    private func watchRequestsTaken() {
        watchRequestsUnderWay = 0
        let paused = pausedWatches
        pausedWatches = []
        for call in paused { calls.resumeInput(call) }
    }
}

/// Requests of a loop's watch streams that wait for the engine; further ones wait outside, or one client's would fill its mailbox, and
/// others' requests found no room.
private let watchRequestLimit = 4_096
