// Owns: which members are alive and how large the tables are, as the database last said, and the calls that wait to hear it.
// Must never: answer from what was not read once; keep a call waiting for a database that does not answer once something is known.
// Invariants: one question is under way at most; a call that arrives while one is waits for the next, whose answer can't be older than
// the call; this member is always on the list.
internal import Changelog
internal import Logging
internal import NIOCore
internal import Synchronization

final class Membership: Sendable {
    /// What calls wait for.
    fileprivate struct Waiter {
        var promise: EventLoopPromise<Void>
        /// The first question whose answer is new enough.
        var question: Int
    }

    fileprivate struct State {
        /// This member; nil where there is no table to ask, as in tests without a database.
        var own: Member?
        var log: LogWorkers?
        var members: [Member] = []
        var databaseBytes: Int64 = 0
        var hasMembers = false
        var hasSizes = false
        var listedAt: NIODeadline?
        /// Questions that were begun, and whether the last one is under way.
        var questions = 0
        var isAsking = false
        var waiting: [Waiter] = []
        /// What the database refused to do for each chore, so that each reason is logged once.
        var refusals: [String: String] = [:]

        var isKnown: Bool { own == nil || hasMembers && hasSizes }
    }

    private let state = Mutex(State())
    private let logger: Logger

    init(logger: Logger) { self.logger = logger }

    /// The members in the order of their ids, and the bytes on disk of the log's tables.
    var known: (members: [Member], databaseBytes: Int64, isKnown: Bool) {
        state.withLock { ($0.members, $0.databaseBytes, $0.isKnown) }
    }

    // MARK: For the server

    /// From now on answers wait for the database.
    func expect(_ own: Member) {
        state.withLock {
            $0.own = own
            $0.members = [own]
        }
    }

    /// Says that this member is alive, and reads who else is and how large the tables are.
    func refresh(_ log: LogWorkers) {
        guard
            let own = state.withLock({ state in
                state.log = log
                return state.own
            })
        else { return }
        log.upsertMember(id: own.id, name: own.name, clientURLs: own.clientURLs) { [self] in
            noteOutcome("announce this member", $0)
        }
        log.databaseSizes { [self] in measured($0) }
        if let log = state.withLock({ $0.begin() }) { ask(log) }
    }

    /// The server stops: nobody waits any longer.
    func close() {
        let waiting = state.withLock { state in
            state.own = nil
            defer { state.waiting = [] }
            return state.waiting
        }
        for waiter in waiting { waiter.promise.succeed() }
    }

    // MARK: For calls

    /// Succeeds once the database has been read.
    func untilKnown(on eventLoop: any EventLoop) -> EventLoopFuture<Void> {
        let promise = eventLoop.makePromise(of: Void.self)
        let isKnown = state.withLock { state in
            if !state.isKnown { state.waiting.append(Waiter(promise: promise, question: 0)) }
            return state.isKnown
        }
        if isKnown { promise.succeed() }
        return promise.futureResult
    }

    /// Succeeds once `known` is what the database said within `age`, or, for linearizable calls, after this was called.
    func untilCurrent(isLinearizable: Bool, on eventLoop: any EventLoop) -> EventLoopFuture<Void> {
        let promise = eventLoop.makePromise(of: Void.self)
        enum Next {
            case done, wait
            case ask(LogWorkers)
        }
        let next = state.withLock { state -> Next in
            guard state.own != nil else { return .done }
            if !isLinearizable, state.isKnown, let listedAt = state.listedAt, NIODeadline.now() - listedAt < Self.freshFor { return .done }
            state.waiting.append(Waiter(promise: promise, question: state.questions + 1))
            return state.begin().map { .ask($0) } ?? .wait
        }
        switch next {
        case .done: promise.succeed()
        case .wait: break
        case .ask(let log): ask(log)
        }
        // What was known last is the best answer while the database is away.
        let timer = eventLoop.scheduleTask(in: Self.patience) { [self] in release(promise) }
        promise.futureResult.whenComplete { _ in timer.cancel() }
        return promise.futureResult
    }

    /// How old the answer to a call that is not linearizable may be.
    private static let freshFor = TimeAmount.seconds(1)
    /// How long a call waits for the database where something is known.
    private static let patience = TimeAmount.seconds(2)

    // MARK: Questions

    private func ask(_ log: LogWorkers) {
        log.listMembers(within: .seconds(30)) { [self] in listed($0, log) }
    }

    private func listed(_ result: Result<[Member], LogError>, _ log: LogWorkers) {
        noteOutcome("list the members", result)
        let (peers, done, again) = state.withLock { state -> (Bool?, [EventLoopPromise<Void>], LogWorkers?) in
            state.isAsking = false
            var peers: Bool?
            switch result {
            case .success(let members):
                guard let own = state.own else { break }
                peers = members.contains { $0.id != own.id }
                state.members = members.contains { $0.id == own.id } ? members : (members + [own]).sorted { $0.id < $1.id }
                state.hasMembers = true
                state.listedAt = .now()
            // Without the right to read the table this member serves with itself.
            case .failure(let error): if !error.passesByItself { state.hasMembers = true }
            }
            return (peers, state.takeDone(), state.waiting.contains { $0.question > state.questions } ? state.begin() : nil)
        }
        if let peers { log.notePeers(peers) }
        for promise in done { promise.succeed() }
        if let again { ask(again) }
    }

    private func measured(_ result: Result<DatabaseSizes, LogError>) {
        noteOutcome("measure the tables", result)
        let done = state.withLock { state -> [EventLoopPromise<Void>] in
            switch result {
            case .success(let sizes):
                state.databaseBytes = sizes.total
                state.hasSizes = true
            case .failure(let error): if !error.passesByItself { state.hasSizes = true }
            }
            return state.takeDone()
        }
        for promise in done { promise.succeed() }
    }

    private func release(_ promise: EventLoopPromise<Void>) {
        let isWaiting = state.withLock { state in
            // Before anything is known there is nothing to answer with: the call waits for as long as its client does.
            guard state.isKnown, let index = state.waiting.firstIndex(where: { $0.promise == promise }) else { return false }
            state.waiting.remove(at: index)
            return true
        }
        if isWaiting { promise.succeed() }
    }

    /// An outage is reported by the log's threads; a refusal would be reported by nobody else.
    private func noteOutcome<Answer>(_ chore: String, _ result: Result<Answer, LogError>) {
        var refusal: String?
        if case .failure(let error) = result {
            guard !error.passesByItself, error != .closed else { return }
            refusal = error.description
        }
        let isNews = state.withLock { state in
            defer { state.refusals[chore] = refusal }
            return state.refusals[chore] != refusal
        }
        guard isNews else { return }
        if let refusal {
            logger.warning("could not \(chore); trying again", metadata: ["reason": "\(refusal)"])
        } else {
            logger.info("could \(chore) again")
        }
    }
}

extension Membership.State {
    /// Begins a question, where there is a log to ask and none is under way.
    fileprivate mutating func begin() -> LogWorkers? {
        guard !isAsking, let log else { return nil }
        isAsking = true
        questions += 1
        return log
    }

    /// Takes out those whose answer has come.
    fileprivate mutating func takeDone() -> [EventLoopPromise<Void>] {
        guard isKnown else { return [] }
        let answered = isAsking ? questions - 1 : questions
        let done = waiting.filter { $0.question <= answered }.map(\.promise)
        waiting.removeAll { $0.question <= answered }
        return done
    }
}
