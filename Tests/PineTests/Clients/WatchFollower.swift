// Owns: a client that watches every key through every fault, and what it was told.
// Must never: ask for an event twice: after a broken stream it goes on where it was.
import Bytes
import EtcdAPI
import Foundation
import Synchronization
import TestSupport

struct WatchedEvent: Sendable {
    let revision: Revision
    let key: ByteString
    let isPut: Bool
    let value: ByteString
}

/// One watch on all keys from the first revision on, on one server, made anew when its stream breaks.
final class WatchFollower: Sendable {
    private struct State {
        var events: [WatchedEvent] = []
        var broken: BrokenPromise?
        /// Everything up to this revision has been told.
        var toldThrough: Revision = 1
        var streams = 0
        var stopping = false
        var running = true
    }

    let port: Int
    private let state = Mutex(State())

    init(port: Int) {
        self.port = port
        let thread = Thread { [self] in
            while !state.withLock({ $0.stopping }) {
                do {
                    try follow()
                } catch let broken as BrokenPromise {
                    state.withLock { $0.broken = broken }
                    break
                } catch {
                    // The server or its database is away: the next stream goes on from here.
                    usleep(20_000)
                }
            }
            state.withLock { $0.running = false }
        }
        thread.name = "watch-\(port)"
        thread.start()
    }

    /// How many streams it took.
    var streams: Int { state.withLock { $0.streams } }

    /// Waits until everything up to `revision` was told, ends the watch and gives all events.
    func finish(at revision: Revision) throws -> [WatchedEvent] {
        try eventuallyBlocking("the watcher on \(port) hearing of revision \(revision)") {
            try state.withLock { state in
                if let broken = state.broken { throw broken }
                return state.toldThrough >= revision
            }
        }
        state.withLock { $0.stopping = true }
        try eventuallyBlocking("the end of the watcher") { state.withLock { !$0.running } }
        return state.withLock { $0.events }
    }

    private func follow() throws {
        let client = try EtcdClient(port: port)
        let stream: EtcdStream<WatchResponse> = try client.open(.watch)
        let everything = ByteString([0])
        let next = state.withLock { $0.toldThrough + 1 }
        stream.send(WatchRequest.create(WatchCreateRequest(key: everything, rangeEnd: everything, startRevision: next)))
        var silences = 0
        while !state.withLock({ $0.stopping }) {
            if try receive(stream) {
                silences = 0
            } else {
                silences += 1
                // A server that was stopped, or whose machine has gone, says nothing for good: a client begins anew.
                if silences == 10 { return }
                stream.send(WatchRequest.progress(WatchProgressRequest()))
            }
        }
    }

    /// False where nothing has come for a while.
    private func receive(_ stream: EtcdStream<WatchResponse>) throws -> Bool {
        do {
            guard let response = try stream.receive(timeout: .milliseconds(300)) else {
                throw BrokenPromise(description: "the watch on \(port) ended without an error")
            }
            try heard(response)
            return true
        } catch let error as EtcdClientError where error == .deadlinePassed {
            return false
        }
    }

    private func heard(_ response: WatchResponse) throws {
        let revision = response.header?.revision ?? 0
        if response.canceled {
            throw BrokenPromise(description: "the watch on \(port) was cancelled: \(response.cancelReason)")
        }
        try state.withLock { state in
            if response.created {
                state.streams += 1
                return
            }
            for event in response.events {
                guard let kv = event.kv, kv.modRevision > state.toldThrough, kv.modRevision <= revision else {
                    throw BrokenPromise(
                        description: "the watch on \(port), told everything through \(state.toldThrough), hears of "
                            + "\(event.kv?.modRevision ?? 0) under a header of \(revision)")
                }
                state.events.append(WatchedEvent(revision: kv.modRevision, key: kv.key, isPut: event.type == .put, value: kv.value))
            }
            // Whole revisions come together; a response without events says how far everything has been told.
            state.toldThrough = response.events.isEmpty ? max(state.toldThrough, revision) : state.events[state.events.count - 1].revision
        }
    }
}
