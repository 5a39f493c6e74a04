// Owns: a thread that answers one type of reads, and, as that of the head reads, hears hints and gives them.
// Must never: make reading depend on hints; they only make it sooner.
internal import Mailboxes
internal import Replica
internal import Synchronization

internal import struct Logging.Logger

struct Reader<Command: LogQuery> {
    enum Message: Sendable {
        case command(Command)
        /// Others are to hear of an append of ours.
        case hintOthers
        /// Something of another thread's that has no connection of its own.
        case guest(SharedSession.Guest)
        /// Others need the place of this connection more.
        case yieldPlace
    }

    private let mailbox: LogMailbox<Message>
    private var keeper: SessionKeeper
    private let settings: LogSettings
    private let logger: Logger
    private let hintRequest: HintRequest
    private let deliver: @Sendable (LogEvent) -> Void
    private let shared: SharedSession
    private var pending: [Command] = []
    private var guests: [SharedSession.Guest] = []
    /// When the next hint to others is due.
    private var hintDue: ContinuousClock.Instant?
    private var lastHint: ContinuousClock.Instant?
    /// The session that listens, by its identity; a new one has to be told to.
    private var listening: ObjectIdentifier?
    private var serverHints = true
    /// When the server's settings are looked at next.
    private var nextLook: ContinuousClock.Instant = .now
    private let durability: Durability?
    /// Whether a connection is made only once something is asked, and not kept up while nothing is.
    private let connectsOnDemand: Bool

    init(
        mailbox: LogMailbox<Message>, keeper: SessionKeeper, settings: LogSettings, logger: Logger, hintRequest: HintRequest,
        shared: SharedSession, durability: Durability? = nil, connectsOnDemand: Bool = false,
        deliver: @escaping @Sendable (LogEvent) -> Void
    ) {
        self.durability = durability
        self.shared = shared
        self.connectsOnDemand = connectsOnDemand
        self.mailbox = mailbox
        self.keeper = keeper
        self.settings = settings
        self.logger = logger
        self.hintRequest = hintRequest
        self.deliver = deliver
    }

    private var wantsSession: Bool { keeper.session == nil && (!connectsOnDemand || !pending.isEmpty || keeper.isMissed) }

    mutating func run() {
        if wantsSession { connect() }
        while let messages = mailbox.take() {
            for message in messages {
                switch message {
                case .command(let command): pending.append(command)
                case .hintOthers: planHint()
                case .guest(let guest): guests.append(guest)
                case .yieldPlace: keeper.drop()
                }
            }
            if connectsOnDemand, keeper.session == nil, shared.isCrowded { handOver() }
            if wantsSession && keeper.untilNextAttempt == .zero { connect() }
            lookAtServer()
            if keeper.session != nil {
                let commands = pending
                pending = []
                for command in commands { answer(command) }
            }
            serveGuests()
            if let hintDue, ContinuousClock.now >= hintDue { hintOthers() }
            if messages.isEmpty { idle() }
        }
        keeper.drop()
    }

    private mutating func idle() {
        var timeout: Duration?
        if wantsSession {
            timeout = keeper.untilNextAttempt
        } else if let hintDue {
            timeout = max(.zero, ContinuousClock.now.duration(to: hintDue))
        }
        if durability != nil, keeper.session != nil {
            let untilLook = max(.zero, ContinuousClock.now.duration(to: nextLook))
            timeout = min(timeout ?? untilLook, untilLook)
        }
        guard mailbox.wait(alongside: keeper.socket, timeout: timeout), let session = keeper.session else { return }
        do {
            try session.connection.readArrived()
            hearHints(on: session)
        } catch {
            // One that nobody waits for is made anew when somebody does.
            if connectsOnDemand { keeper.drop() } else { keeper.failed(error) }
        }
    }

    // MARK: Connection

    /// Makes a connection; where that fails, everything that waits hears of it.
    private mutating func connect() {
        do {
            let session = try keeper.ready()
            durability?.note(session.serverState)
            nextLook = .now.advanced(by: lookInterval)
            try listen(on: session)
            keeper.worked()
        } catch {
            if shared.noteFailure(error, isEssential: !connectsOnDemand), connectsOnDemand { return handOver() }
            keeper.failed(error)
            let commands = pending
            pending = []
            for command in commands { deliver(command.failed(error.description)) }
            let failed = guests
            guests = []
            for guest in failed { guest(.failure(error)) }
        }
    }

    /// What waits here is answered on the head reads' session.
    private mutating func handOver() {
        let commands = pending
        pending = []
        for command in commands {
            let deliver = deliver
            let answered = Result { () throws(LogError) in
                try shared.run { session throws(LogError) in try command.answer(on: session) }
            }
            switch answered {
            case .success(let event): deliver(event)
            case .failure(let error): deliver(command.failed(error.description))
            }
        }
    }

    private mutating func serveGuests() {
        guard let session = keeper.session else { return }
        let guests = guests
        self.guests = []
        for guest in guests { guest(session.isOpen ? .success(session) : .failure(.lost("a moment ago"))) }
        if !session.isOpen { keeper.failed(.lost("while it was shared")) }
    }

    /// Looks every few seconds whether the server's settings have changed. A server that must not be used is left, as if it were away.
    private mutating func lookAtServer() {
        guard let durability, let session = keeper.session, ContinuousClock.now >= nextLook else { return }
        nextLook = .now.advanced(by: lookInterval)
        do {
            try session.lookAtServer()
            durability.note(session.serverState)
        } catch {
            keeper.drop()
            keeper.failed(error)
        }
    }

    private mutating func listen(on session: LogSession) throws(LogError) {
        guard settings.listensForHints, !session.isPooled, serverHints else { return }
        do {
            try session.listen()
            // Rows may have come while nobody listened. And the others are to know that somebody listens now.
            deliver(.hinted)
            planHint()
        } catch .refused(_, let message) {
            serverHints = false
            logger.info("the server has no LISTEN; polling alone", metadata: ["message": "\(message)"])
        }
    }

    // MARK: Commands

    private mutating func answer(_ command: Command) {
        do throws(LogError) {
            // Lost while the commands before this one were answered: the next attempt has its own time.
            guard let session = keeper.session else { throw LogError.lost("a moment ago") }
            let start = ContinuousClock.now
            let event = try command.answer(on: session)
            keeper.metrics.answered(command.operation, since: start)
            deliver(event)
            keeper.worked()
            hearHints(on: session)
        } catch {
            keeper.failed(command.operation, error)
            // Whether all is well again is found out with a new session, since nobody may ask again.
            if connectsOnDemand { keeper.drop() }
            deliver(command.failed(error.description))
        }
    }

    // MARK: Hints

    /// Tells of the notifications that have come from other processes, all at once.
    private func hearHints(on session: LogSession) {
        var heard = false
        while let sender = session.connection.takeNotification() {
            // Our own come back to us.
            heard = heard || sender != session.connection.backendID
        }
        if heard {
            hintRequest.notePeers(true)
            deliver(.hinted)
        }
    }

    private mutating func planHint() {
        let now = ContinuousClock.now
        hintDue = lastHint.map { max(now, $0.advanced(by: settings.limits.notifyInterval)) } ?? now
    }

    private mutating func hintOthers() {
        hintDue = nil
        // Before the hint is given: an append after this asks for another.
        hintRequest.clear()
        guard let session = keeper.session, serverHints else { return }
        lastHint = .now
        do {
            try session.hintOthers()
            hearHints(on: session)
        } catch .refused(_, let message) {
            serverHints = false
            logger.info("the server has no NOTIFY; others poll", metadata: ["message": "\(message)"])
        } catch {
            keeper.failed(error)
        }
    }
}

/// How often the server's settings are looked at while a session lasts.
private let lookInterval = Duration.seconds(2)
