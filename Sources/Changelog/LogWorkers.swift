// Owns: the threads that talk to PostgreSQL for one replica, each with a connection of its own.
// Must never: answer a command twice, or deliver anything after `stop` has returned.
package import Keyspace
internal import Mailboxes
package import Replica
internal import Synchronization

package import struct Logging.Logger

/// What loading the log gives, in this order: rows any number of times, then finished. `restarted` may come in between.
package enum LoadEvent: Hashable, Sendable {
    case rows([LogRow], LoadProgress)
    /// Rows whose values stay in the log, and the values' lengths in bytes.
    case rowsWithoutValues([LogRow], [Int], LoadProgress)
    /// The connection was lost; everything comes again from the start, from a later snapshot.
    case restarted
    /// The head of the snapshot, and what had been deleted from it.
    case finished(Head, SweepState)
}

/// The log as the replica's host sees it: commands in, events out. Every event is delivered on a thread of the log, by the
/// closure given at the start, which must not block.
package final class LogWorkers: Sendable {
    private let settings: LogSettings
    private let logger: Logger
    private let outage: Outage
    private let metrics = LogMetrics()
    private let pace = ConnectPace()
    private let linkLoad = LinkLoad()
    private let wire = TripWire()
    private let hintRequest: HintRequest
    private let appends = LogMailbox<AppendCommand>(limit: 64)
    private let reads = LogMailbox<Reader<ReadCommand>.Message>(limit: 64)
    private let histories = LogMailbox<Reader<HistoryCommand>.Message>(limit: 64)
    private let values = LogMailbox<Reader<ValueCommand>.Message>(limit: 64)
    private let chores = LogMailbox<Steward.Message>(limit: 1024)
    /// Questions that wait for their answers: while the network swallows what is sent, no more of them pile up.
    private let shared: SharedSession
    private let asked = Mutex<Set<Steward.Question>>([])
    private let threads: Mutex<[WorkerThread]>

    /// Starts the threads. They connect by themselves, and again whenever the database was away.
    package init(_ settings: LogSettings, logger: Logger, deliver: @escaping @Sendable (LogEvent) -> Void) {
        self.settings = settings
        self.logger = logger
        let metrics = metrics
        let outage = Outage(logger: logger, metrics: metrics)
        self.outage = outage
        let durability = Durability(logger: logger, metrics: metrics)
        let slowStatements = SlowStatements(threshold: settings.limits.slowStatement, logger: logger, metrics: metrics)
        let (wire, pace, appends, reads, histories, values, chores) = (wire, pace, appends, reads, histories, values, chores)
        let linkLoad = linkLoad
        // Deadlines are set on one thread's connection and taken out on another's.
        let leaseSessions = SessionCount()
        @Sendable func keeper(
            _ worker: String, count: SessionCount? = nil, countsOutages: Bool = false, limitsLockWaits: Bool = false
        ) -> SessionKeeper {
            SessionKeeper(
                worker: worker, settings: settings, logger: logger, outage: outage, wire: wire, metrics: metrics,
                pace: pace, load: linkLoad, slowStatements: slowStatements, count: count, countsOutages: countsOutages,
                limitsLockWaits: limitsLockWaits)
        }
        let shared = SharedSession(wire: wire, logger: logger) {
            reads.put(.guest($0))
        } yieldOthers: {
            histories.put(.yieldPlace)
            values.put(.yieldPlace)
            chores.put(.yieldPlace)
        }
        self.shared = shared
        outage.whenCrowded { _ = shared.noteFailure($0, isEssential: true) }
        let hintRequest = HintRequest(hasPeers: settings.notifiesPeers)
        self.hintRequest = hintRequest
        let hint = { @Sendable in
            if hintRequest.ask() { reads.put(.hintOthers) }
        }
        threads = Mutex([
            WorkerThread(name: "pine-append") {
                var appender = Appender(
                    mailbox: appends, keeper: keeper("append", count: leaseSessions, limitsLockWaits: true), settings: settings,
                    leaseSessions: leaseSessions, deliver: deliver, hint: hint)
                appender.run()
            },
            WorkerThread(name: "pine-read") {
                var reader = Reader(
                    mailbox: reads, keeper: keeper("read"), settings: settings, logger: logger, hintRequest: hintRequest,
                    shared: shared, durability: durability, deliver: deliver)
                reader.run()
            },
            WorkerThread(name: "pine-history") {
                // Old rows, for watchers that are far behind: a thread of its own, so that nobody waits behind them.
                var settings = settings
                settings.listensForHints = false
                var reader = Reader(
                    mailbox: histories, keeper: keeper("history"), settings: settings, logger: logger,
                    hintRequest: HintRequest(hasPeers: false), shared: shared, connectsOnDemand: true, deliver: deliver)
                reader.run()
            },
            WorkerThread(name: "pine-values") {
                // Values that are not in memory, for requests that wait for them.
                var settings = settings
                settings.listensForHints = false
                var reader = Reader(
                    mailbox: values, keeper: keeper("values"), settings: settings, logger: logger,
                    hintRequest: HintRequest(hasPeers: false), shared: shared, connectsOnDemand: true, deliver: deliver)
                reader.run()
            },
            WorkerThread(name: "pine-steward") {
                var steward = Steward(
                    mailbox: chores, keeper: keeper("steward", count: leaseSessions, countsOutages: true), settings: settings,
                    leaseSessions: leaseSessions, refusals: Refusals(logger: logger, metrics: metrics), shared: shared, deliver: deliver)
                steward.run()
            },
        ])
    }

    /// What was counted since the start.
    package var counters: LogCounters { metrics.counters }

    /// Ends all threads and connections. What is under way is given up, without an answer. An attempt to connect that is being made
    /// ends by itself.
    package func stop() {
        wire.trip()
        appends.close()
        reads.close()
        histories.close()
        values.close()
        chores.close()
        let threads = threads.withLock { threads in
            defer { threads = [] }
            return threads
        }
        for thread in threads { thread.join() }
    }

    /// Whether other processes are alive, as far as the host knows: they are hinted to after own appends. Who isn't known yet makes
    /// itself heard.
    package func notePeers(_ exist: Bool) { hintRequest.notePeers(exist) }

    /// Hands a command to its thread.
    package func submit(_ command: LogCommand) {
        switch command {
        case .appending(let command): appends.put(command)
        case .reading(let command): reads.put(.command(command))
        case .history(let command): histories.put(.command(command))
        case .values(let command): values.put(.command(command))
        case .chore(let command): chores.put(.command(command))
        }
    }

    /// Reads the whole log on a thread of its own, again and again until it has worked or the log is closed.
    /// Values come with the newest rows only, about as many as take `valueBytes`, and with those past any of `marks`.
    package func load(
        valueBytes: Int = .max, marks: [ServedMark] = [], _ deliver: @escaping @Sendable (LoadEvent) -> Void
    ) {
        let (logger, outage, wire, metrics, pace, shared, linkLoad) = (logger, outage, wire, metrics, pace, shared, linkLoad)
        let settings = patientSettings
        let thread = WorkerThread(name: "pine-load") {
            var keeper = SessionKeeper(
                worker: "load", settings: settings, logger: logger, outage: outage, wire: wire, metrics: metrics, pace: pace,
                load: linkLoad)
            let hasDelivered = Atomic(false)
            @Sendable func read(_ session: LogSession) throws(LogError) -> (head: Head, deleted: SweepState, finding: RowFinding?) {
                let patience = session.patience
                session.patience = settings.limits.patience
                defer { session.patience = patience }
                return try session.load(valueBytes: valueBytes, marks: marks) { rows, byteCounts, progress in
                    hasDelivered.store(true, ordering: .relaxed)
                    deliver(byteCounts.map { .rowsWithoutValues(rows, $0, progress) } ?? .rows(rows, progress))
                    return true
                }
            }
            while true {
                do throws(LogError) {
                    if hasDelivered.exchange(false, ordering: .relaxed) { deliver(.restarted) }
                    let (head, deleted, finding) = try shared.isCrowded ? shared.run(read) : read(keeper.ready())
                    keeper.worked()
                    keeper.drop()
                    if let finding {
                        metrics.checked(finding)
                        finding.tell(logger)
                    }
                    deliver(.finished(head, deleted))
                    return
                } catch {
                    if shared.noteFailure(error, isEssential: false) { continue }
                    keeper.failed(error)
                    keeper.drop()
                    if !keeper.waitForNextAttempt() { return }
                }
            }
        }
        keep(thread)
    }

    /// For statements that are long by nature: none of them is called slow, and the first may have to come from a cold disk.
    private var patientSettings: LogSettings {
        var patient = settings
        patient.limits.patience = max(patient.limits.patience, .seconds(5))
        return patient
    }

    /// A thread that ends by itself.
    private func keep(_ thread: WorkerThread) {
        threads.withLock { threads in
            // A log that does not add up is read again and again.
            threads.removeAll(where: \.hasEnded)
            threads.append(thread)
        }
    }

    /// Looks for rows that are not those that were written, on a thread of its own, with pauses so long that others hardly notice. What
    /// is found is logged and counted. A connection that is lost ends it.
    package func checkRows() {
        let (logger, outage, wire, metrics, pace, linkLoad) = (logger, outage, wire, metrics, pace, linkLoad)
        let settings = patientSettings
        keep(
            WorkerThread(name: "pine-check") {
                var keeper = SessionKeeper(
                    worker: "check", settings: settings, logger: logger, outage: outage, wire: wire, metrics: metrics, pace: pace,
                    load: linkLoad)
                defer { keeper.drop() }
                do throws(LogError) {
                    let session = try keeper.ready()
                    guard var finding = try session.checkSums({ !wire.wait(.zero) }) else { return }
                    let altered = try session.checkRows { duration in !wire.wait(duration * checkPause) }
                    guard let altered else { return }
                    finding.altered = altered.altered
                    finding.alteredCount = altered.alteredCount
                    metrics.checked(finding)
                    finding.tell(logger)
                    keeper.worked()
                } catch {
                    logger.info("could not check the log's rows; the next check will", metadata: ["reason": "\(error)"])
                }
            })
    }

    // MARK: Questions, answered on the steward's thread. Of each kind one waits at most: another fails at once.

    package func databaseSizes(_ done: @escaping @Sendable (Result<DatabaseSizes, LogError>) -> Void) {
        ask(.databaseSizes, done) { session throws(LogError) in try session.databaseSizes() }
    }

    package func upsertMember(
        id: Int64, name: String, clientURLs: [String], _ done: @escaping @Sendable (Result<Void, LogError>) -> Void
    ) {
        ask(.upsertMember, done) { session throws(LogError) in try session.upsertMember(id: id, name: name, clientURLs: clientURLs) }
    }

    package func listMembers(within age: Duration, _ done: @escaping @Sendable (Result<[Member], LogError>) -> Void) {
        ask(.listMembers, done) { session throws(LogError) in try session.listMembers(within: age) }
    }

    /// Lets another process be the steward at once.
    package func releaseDuty(holder: Int64, _ done: @escaping @Sendable (Result<Void, LogError>) -> Void) {
        ask(.releaseDuty, done) { session throws(LogError) in try session.releaseDuty(holder: holder) }
    }

    package func removeMember(id: Int64, _ done: @escaping @Sendable (Result<Void, LogError>) -> Void) {
        ask(.removeMember, done) { session throws(LogError) in try session.removeMember(id: id) }
    }

    private func ask<Answer>(
        _ question: Steward.Question, _ done: @escaping @Sendable (Result<Answer, LogError>) -> Void,
        _ body: @escaping @Sendable (LogSession) throws(LogError) -> Answer
    ) {
        guard asked.withLock({ $0.insert(question).inserted }) else { return done(.failure(.noAnswer)) }
        chores.put(
            .ask(question) { [self] session in
                let result: Result<Answer, LogError>
                do throws(LogError) {
                    result = .success(try body(try session.get()))
                } catch {
                    result = .failure(error)
                }
                _ = asked.withLock { $0.remove(question) }
                done(result)
                if case .failure(let error) = result { return error }
                return nil
            })
    }
}

/// The pause after each chunk of rows that is checked, in multiples of what that took.
private let checkPause = 9
