// Owns: the turns of a replica that has no server around it: what has come goes in, one turn is run, every rule is checked, and what
// is to be done comes out. Production's turns are PineServer's Engine.
// Must never: leave a turn unchecked, but where there are so many watchers that looking at each would be all that a test does.
package import Bytes
package import Calls
package import EtcdAPI
package import Keyspace
package import Replica

package struct ReplicaHost: ~Copyable {
    package private(set) var replica: Replica
    /// What the next turn begins with.
    private var inbox: [ReplicaEvent] = []

    package init(_ configuration: ReplicaConfiguration) { replica = Replica(configuration: configuration) }

    /// Takes in what happened, at once.
    package mutating func step(_ event: ReplicaEvent, now: Instant) { replica.step(event, now: now) }

    /// Keeps what happened for the next turn.
    package mutating func post(_ event: ReplicaEvent) { inbox.append(event) }

    /// Whether a turn has something to do that has happened by now.
    package var hasWork: Bool { !inbox.isEmpty || replica.hasMoreWork }

    package var hasPosted: Bool { !inbox.isEmpty }

    /// One turn.
    package mutating func turn(now: Instant) -> [Action] {
        let events = inbox
        inbox = []
        for event in events { replica.step(event, now: now) }
        let actions = replica.endTurn(now: now)
        if replica.watchCounts.watchers < checkedWatcherLimit { replica.invariants() }
        return actions
    }
}

/// What is around a replica: its clients, its log, its threads.
package protocol ReplicaSurroundings: AnyObject {
    /// A call has ended: with its one answer, with what a stream ends with, or with an error.
    func answered(_ id: CallID, _ result: Result<ByteString, EtcdError>)
    /// A message on a stream.
    func sent(_ id: CallID, _ message: ByteString, reportDrained: Bool)
    func asked(_ command: LogCommand)
    /// The whole log is to be loaded.
    func load()
    func sort(_ job: SortJob)
    func noted(_ note: Note)
    /// A call took long; its answer follows.
    func wasSlow(_ id: CallID, _ request: SlowRequest)
    /// A step of a login.
    func authAnswered(_ id: CallID, _ answer: AuthAnswer)
}

extension ReplicaSurroundings {
    package func wasSlow(_ id: CallID, _ request: SlowRequest) {}
    /// For hosts without logins.
    package func authAnswered(_ id: CallID, _ answer: AuthAnswer) { violated("nobody logs in here") }

    /// Does what a turn wants done, in order.
    package func perform(_ actions: [Action]) {
        for action in actions {
            switch action {
            case .answer(let id, .respond(let message)): answered(id, .success(message))
            case .answer(let id, .fail(let error)): answered(id, .failure(error))
            case .answer(let id, .finish): answered(id, .success(ByteString()))
            case .answer(let id, .revision(let revision)): answered(id, .success(ByteString("\(revision)")))
            case .answer(let id, .auth(let answer)): authAnswered(id, answer)
            case .answer(let id, .send(let message, let reportDrained)): sent(id, message, reportDrained: reportDrained)
            case .answer(let id, .sendParts(let parts, let reportDrained)):
                sent(id, ByteString(parts.joined()), reportDrained: reportDrained)
            case .answer(let id, .slow(let request)): wasSlow(id, request)
            case .log(let command): asked(command)
            case .load: load()
            case .sort(let job): sort(job)
            case .note(let note): noted(note)
            }
        }
    }
}

/// From so many watchers on, rules are not checked: that looks at every one of them.
private let checkedWatcherLimit = 500
