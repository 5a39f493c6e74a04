// Owns: what is sent to watchers: the messages, what a turn may still do for them, and where the store stands that they tell of.
// Must never: decide who is given what.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

/// Where the store stands: what the watch table is told before each event.
struct Standing {
    var now = Instant(nanoseconds: 0)
    var committed = Position.start
    var compactRevision: Revision = -1
    /// Its revision is filled in with each message.
    var header = ResponseHeader()

    var revision: Revision { committed.revision }
}

struct WatchOutbox: ~Copyable {
    var standing = Standing()
    var budget: WatchBudget
    /// Previous values that events asked for.
    var valueCounts = ValueCounts()
    private var actions: [Action] = []
    private var eventsSent: UInt64 = 0
    private let configuration: ReplicaConfiguration

    init(_ configuration: ReplicaConfiguration) {
        self.configuration = configuration
        budget = WatchBudget(configuration)
    }

    var revision: Revision { standing.revision }
    var now: Instant { standing.now }

    mutating func append(_ action: Action) { actions.append(action) }

    /// Lets what comes be appended to these actions, which are empty for the caller until the next swap. Copying would cost more than all
    /// else that is done for an event.
    mutating func swapActions(_ all: inout [Action]) { swap(&actions, &all) }

    /// Events that were sent since this was last asked.
    mutating func takeEventsSent() -> UInt64 {
        defer { eventsSent = 0 }
        return eventsSent
    }

    // MARK: Answers

    /// A response without events: created, canceled or progress.
    mutating func sendControl(
        _ stream: WatchStream, _ id: WatchID, at revision: Revision? = nil, created: Bool = false, canceled: Bool = false,
        compactRevision: Revision = 0, reason: String = ""
    ) {
        var writer = ByteWriter(capacity: 64 + reason.utf8.count)
        writer.appendWatchHead(
            header(at: revision ?? self.revision), watchID: id, created: created, canceled: canceled, compactRevision: compactRevision,
            cancelReason: ByteString(reason))
        send(stream, writer.finish(), isAnswer: true)
    }

    private func header(at revision: Revision) -> ResponseHeader {
        var header = standing.header
        header.revision = revision
        return header
    }

    private mutating func send(_ stream: WatchStream, _ message: ByteString, isAnswer: Bool = false) {
        let sent = UnreadBytes(all: message.count, answers: isAnswer ? message.count : 0)
        actions.append(.send(stream.request, message, reportDrained: stream.sent(sent, reportBytes: reportBytes)))
    }

    private mutating func send(_ stream: WatchStream, _ parts: [ByteString], size: Int) {
        let sent = UnreadBytes(all: size)
        actions.append(.sendParts(stream.request, parts, reportDrained: stream.sent(sent, reportBytes: reportBytes)))
    }

    /// Half of the least bound: a blocked stream always has a report to wait for, however the bound has shrunk since.
    private var reportBytes: Int { configuration.watchStreamBufferMinBytes / 2 }

    // MARK: Events

    /// Sends what was gathered for a watcher, whole revisions together. The size in bytes of a revision that is too large for a message:
    /// that and what comes after it isn't sent.
    mutating func flush(_ watcher: Watcher) -> Int? {
        // They were taken back where the watcher has left.
        guard let last = watcher.events.last, !watcher.stream.hasEnded else { return nil }
        let events = watcher.events
        watcher.events.removeAll(keepingCapacity: events.count <= 64)
        watcher.nextRevision = max(watcher.nextRevision, last.revision + 1)
        watcher.wasBusy = true
        var start = 0
        while start < events.count {
            var end = start
            var size = 0
            while end < events.count, size < responseByteLimit {
                let revision = events[end].revision
                while end < events.count, events[end].revision == revision {
                    size += events[end].bytes.count
                    end += 1
                }
            }
            watcher.stream.gathered -= size
            let isCut = watcher.wantsFragments && end - start > 1
            if !isCut, size + responseHeadLimit > configuration.messageByteLimit { return size }
            if isCut, size + responseHeadLimit >= configuration.fragmentByteLimit {
                sendFragments(watcher, events[start..<end])
            } else {
                send(watcher, events[start..<end], size: size, fragment: false)
            }
            start = end
        }
        return nil
    }

    /// Cuts a response that is too large into several, all but the last marked as fragments, each of one event or below the
    /// bound.
    private mutating func sendFragments(_ watcher: Watcher, _ events: ArraySlice<(revision: Revision, bytes: ByteString)>) {
        var start = events.startIndex
        while start < events.endIndex {
            var end = start
            var size = 0
            while end < events.endIndex,
                end == start || size + events[end].bytes.count + responseHeadLimit < configuration.fragmentByteLimit
            {
                size += events[end].bytes.count
                end += 1
            }
            send(watcher, events[start..<end], size: size, fragment: end < events.endIndex)
            start = end
        }
    }

    private mutating func send(
        _ watcher: Watcher, _ events: ArraySlice<(revision: Revision, bytes: ByteString)>, size: Int, fragment: Bool
    ) {
        guard let last = events.last else { return }
        eventsSent += UInt64(events.count)
        // What is small is cheaper to copy than to hand over in pieces.
        let isCopied = size < events.count * sharedEventBytes
        var writer = ByteWriter(capacity: (isCopied ? size : 0) + responseHeadLimit)
        writer.appendWatchHead(header(at: last.revision), watchID: watcher.id, fragment: fragment)
        if isCopied {
            for event in events { writer.append(event.bytes) }
            send(watcher.stream, writer.finish())
        } else {
            let head = writer.finish()
            var parts: [ByteString] = []
            parts.reserveCapacity(events.count + 1)
            parts.append(head)
            for event in events { parts.append(event.bytes) }
            send(watcher.stream, parts, size: head.count + size)
        }
    }
}

/// Requests, or watchers of streams that have ended, that are taken care of in a turn.
let controlLimit = 5_000

/// A response is cut between revisions once its events are this large, in bytes.
private let responseByteLimit = 1 << 20

/// At least what a response takes beside its events, in bytes.
private let responseHeadLimit = 96

/// From this size on, in bytes and on average, watchers' responses share the bytes of their events.
private let sharedEventBytes = 512
