// Owns: how a transcript says what the log says (`<`) and what the replica wants (`>`).
// Invariant: equal digests have equal names, and others have others: letters, in the order in which they are first met.
import Bytes
import Calls
import EtcdAPI
import Keyspace
import Replica

struct TranscriptText {
    private var lines: [String] = []
    private var digests: [Digest: String] = [.start: "empty"]
    /// The verbs by which calls were begun: how their answers are to be read.
    private var verbs: [CallID: String] = [:]

    mutating func called(_ id: CallID, _ verb: String) { verbs[id] = verb }

    mutating func takeLines() -> [String] {
        defer { lines = [] }
        return lines
    }

    // MARK: What the log says

    mutating func append(_ tail: Tail) {
        lines.append("< log at \(name(tail.head))")
        append(tail.rows)
    }

    mutating func append(_ event: LogEvent) {
        switch event {
        case .conflicted(_, let tail), .recovered(let tail), .tailRead(let tail), .historyRead(let tail): append(tail)
        case .headRead(let head): lines.append("< log at \(name(head))")
        case .headLocked(let head, let expired, _):
            let leases = expired.isEmpty ? "no lease has" : "lease \(list(expired)) has"
            lines.append("< log at \(name(head)); \(leases) expired")
        case .valuesRead(_, let head, let values):
            lines.append("< log at \(name(head))")
            for (position, value) in values.sorted(by: { $0.key < $1.key }) { lines.append("    \(name(position)) \(text(value))") }
        case .lease(_, let answer): lines.append("< \(text(answer))")
        default: break
        }
    }

    private mutating func text(_ answer: LeaseAnswer) -> String {
        switch answer {
        case .roundDone(_, let head): "log at \(name(head))"
        case .dutyAsked(.held(let isNew, _)): isNew ? "the duty is taken" : "the duty is kept"
        case .dutyAsked(.heldByAnother(let milliseconds, _)): "the duty is another's for \(milliseconds) ms"
        case .dueFound(let leases, let nextMs, _):
            (leases.isEmpty ? "no lease is due" : "due: lease \(list(leases))") + (nextMs.map { ", the next in \($0) ms" } ?? "")
        case .failed(let reason): "failed: \(reason)"
        }
    }

    // MARK: What the replica wants

    mutating func append(_ action: Action) {
        switch action {
        case .answer(let id, let answer): append(id, answer)
        case .log(let command): append(command)
        case .sort: lines.append("> sort")
        case .load: lines.append("> load")
        case .note(let note): lines.append("> note: \(text(note))")
        }
    }

    private mutating func append(_ id: CallID, _ answer: Answer) {
        switch answer {
        case .respond(let message): lines.append("> respond \(id.rawValue): \(text(of: id, message))")
        case .fail(let error): lines.append("> fail \(id.rawValue): \(error)")
        case .send(let message, _): lines.append("> send \(id.rawValue): \(text(of: id, message))")
        case .sendParts(let parts, _): lines.append("> send \(id.rawValue): \(text(of: id, ByteString(parts.joined())))")
        case .finish: lines.append("> finish \(id.rawValue)")
        case .revision(let revision): lines.append("> report \(id.rawValue): revision \(revision)")
        case .auth(let answer): lines.append("> report \(id.rawValue): \(answer)")
        case .slow: lines.append("> \(id.rawValue) was slow")
        }
    }

    private mutating func append(_ command: LogCommand) {
        switch command {
        case .appending(let command): append(command)
        case .reading(.head): lines.append("> read the head")
        case .reading(.tail(let position, let limit)): lines.append("> read the tail after \(name(position)), at most \(limit) rows")
        case .history(let command):
            lines.append("> read history after \(name(command.after)), at most \(command.limit) rows")
        case .values(let command): lines.append("> read the values at \(command.positions.map { name($0) }.joined(separator: ", "))")
        case .chore(.deleteRows(let deletion)):
            lines.append("> delete rows \(deletion.positions.map { name($0) }.joined(separator: ", "))")
        case .chore(.lease(_, let command)): lines.append("> \(text(command))")
        }
    }

    private mutating func append(_ command: AppendCommand) {
        switch command {
        case .append(let batch):
            let epoch = batch.expectedEpoch == 0 ? "" : " in epoch \(batch.expectedEpoch)"
            let lock = batch.needsLock ? " under the lock" : ""
            lines.append(
                "> append \(batch.number)\(lock), expects \(name(batch.expectedDigest))\(epoch), leaves \(name(batch.newHead.digest))")
            append(batch.rows)
        case .lockHead(let expiring, let extraMs):
            let expiry = expiring.map { ", and expire lease \(list($0.leases))" } ?? ""
            lines.append("> lock the head\(extraMs == 0 ? "" : " for \(extraMs) ms more")\(expiry)")
        case .unlockHead: lines.append("> unlock the head")
        case .recover(let position): lines.append("> recover: raise the epoch, and read after \(name(position))")
        }
    }

    private func text(_ command: LeaseCommand) -> String {
        switch command {
        case .round(let round):
            (["lease round"] + round.set.map { "lease \($0.lease) for \($0.milliseconds) ms" }
                + round.ensure.map { "lease \($0.lease) for \($0.milliseconds) ms at most" }
                + round.remove.map { "lease \($0) no more" } + round.read.map { "what is left of lease \($0)" })
                .joined(separator: ", ")
        case .keepDuty(_, let termMs): "keep the steward's duty for \(termMs) ms"
        case .releaseDuty: "release the steward's duty"
        case .findDue: "find leases that are due"
        }
    }

    private func text(_ note: Note) -> String {
        switch note {
        case .serving(let revision, let keys): "serving, at revision \(revision) with \(keys) keys"
        case .appendLost(let reason): "append lost: \(reason)"
        case .appendRecovered(let isCommitted): "the lost append is \(isCommitted ? "in the log" : "not in the log, and never will be")"
        case .historyChanged(let position): "the log's history is not the one that was folded up to \(name(position))"
        case .revisionRaised(let from, let to): "revision raised from \(from) to \(to)"
        case .becameSteward(let leases): "became steward of \(leases) leases"
        default: "\(note)"
        }
    }

    // MARK: What is in it

    private mutating func append(_ rows: [LogRow]) {
        for row in rows { lines.append("    \(name(row.position)) \(text(row))" + (row.origin == 1 ? "" : ", by another")) }
    }

    private func text(_ row: LogRow) -> String {
        switch row.kind {
        case .put: "put \(text(row.key))=\(text(row.value))" + (row.lease == 0 ? "" : " lease=\(row.lease)")
        case .delete: "delete \(text(row.key))"
        case .grant: "grant \(row.lease) ttl=\(row.version)"
        case .revoke: "revoke \(row.lease)"
        case .compact: "compact \(row.version)" + (row.isRaise ? ", raised from \(row.createRevision)" : "")
        case .alarm, .digestKey, .user, .role, .authState: "\(row.kind)"
        }
    }

    /// An answer, or a message of a stream.
    private func text(of id: CallID, _ message: ByteString) -> String {
        do {
            return switch verbs[id] {
            case "put": text(try PutResponse.decode(message).header)
            case "get": text(try RangeResponse.decode(message))
            case "grant": text(try LeaseGrantResponse.decode(message))
            case "keep-alive": text(try LeaseKeepAliveResponse.decode(message))
            case "watch": text(try WatchResponse.decode(message))
            default: "\(message.count) bytes"
            }
        } catch {
            return "no message: \(error)"
        }
    }

    private func text(_ header: ResponseHeader?) -> String { "revision \(header?.revision ?? 0)" }

    private func text(_ response: RangeResponse) -> String {
        ([text(response.header)] + response.kvs.map { "\(text($0.key))=\(text($0.value)) of \($0.modRevision)" }).joined(separator: ", ")
            + (response.kvs.isEmpty ? ", no key" : "")
    }

    private func text(_ response: LeaseGrantResponse) -> String { "\(text(response.header)), lease \(response.id) ttl=\(response.ttl)" }

    private func text(_ response: LeaseKeepAliveResponse) -> String { "lease \(response.id) ttl=\(response.ttl)" }

    private func text(_ response: WatchResponse) -> String {
        var parts = [text(response.header)]
        if response.created { parts.append("created") }
        if response.canceled { parts.append("canceled") }
        if response.compactRevision != 0 { parts.append("compacted up to \(response.compactRevision)") }
        for event in response.events {
            guard let change = event.kv else { continue }
            let text = event.type == .delete ? "delete \(text(change.key))" : "put \(text(change.key))=\(text(change.value))"
            parts.append("\(text) of \(change.modRevision)")
        }
        return parts.joined(separator: ", ")
    }

    // MARK: Names

    private mutating func name(_ head: Head) -> String {
        (head.position == .start ? name(head.digest) : "\(name(head.position)) \(name(head.digest))")
            + (head.epoch == 0 ? "" : " in epoch \(head.epoch)")
    }

    private func name(_ position: Position) -> String {
        if position == .start { return "the start" }
        return position.sub == .max ? "all of revision \(position.revision)" : "\(position.revision).\(position.sub)"
    }

    private mutating func name(_ digest: Digest) -> String {
        if let known = digests[digest] { return known }
        let letter = Unicode.Scalar(UInt8(ascii: "A") + UInt8(digests.count - 1))
        digests[digest] = String(Character(letter))
        return String(Character(letter))
    }

    private func text(_ bytes: ByteString) -> String { String(decoding: bytes, as: UTF8.self) }

    private func list(_ leases: [LeaseID]) -> String { leases.map { "\($0)" }.joined(separator: ", ") }
}

extension LogCommand {
    /// Whether the log says anything to it.
    var isAnswered: Bool { !answerNames.isEmpty }

    /// The names of events that answer it.
    var answerNames: [String] {
        switch self {
        case .appending(.append(let batch)): ["appended \(batch.number)", "conflicted \(batch.number)", "append-lost \(batch.number)"]
        case .appending(.lockHead): ["head-locked"]
        case .appending(.recover): ["recovered"]
        case .reading(.head): ["head-read"]
        case .reading(.tail): ["tail-read"]
        case .history: ["history-read"]
        case .values: ["values-read"]
        case .chore(.lease(_, .round)): ["round-done"]
        case .chore(.lease(_, .keepDuty)): ["duty-asked"]
        case .chore(.lease(_, .findDue)): ["due-found"]
        case .appending(.unlockHead), .chore(.deleteRows), .chore(.lease(_, .releaseDuty)): []
        }
    }
}

extension LogEvent {
    /// As transcripts name it.
    var name: String {
        switch self {
        case .appended(let number): "appended \(number)"
        case .conflicted(let number, _): "conflicted \(number)"
        case .appendLost(let number, _): "append-lost \(number)"
        case .headLocked: "head-locked"
        case .recovered: "recovered"
        case .headRead: "head-read"
        case .tailRead: "tail-read"
        case .historyRead: "history-read"
        case .valuesRead: "values-read"
        case .lease(_, .roundDone): "round-done"
        case .lease(_, .dutyAsked): "duty-asked"
        case .lease(_, .dueFound): "due-found"
        default: "\(self)"
        }
    }
}
