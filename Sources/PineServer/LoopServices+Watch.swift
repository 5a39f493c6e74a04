// Owns: the Watch service of one loop: hands what clients send on their streams to the engine.
internal import Bytes
internal import EtcdAPI
internal import GRPC
internal import Replica

extension LoopServices {
    func watchStarted(_ call: CallID) {
        openStreams.insert(call)
        batch.append(.event(.watchOpened(RequestID(call))))
        if isFlagged(call) { batch.append(.event(.leaderRequired(RequestID(call)))) }
    }

    func watchRequested(_ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: WatchRequest = try decode(message)
        batch.append(.event(.watchRequested(RequestID(call), request)))
    }
}
