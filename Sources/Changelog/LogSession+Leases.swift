// Owns: the operations on the leases' deadlines and on the steward's duty.
internal import Bytes
package import EtcdAPI
package import Keyspace
internal import Logging
package import Replica

extension LogSession {
    /// Does what `round` says in one transaction, and reads the head in it, last. The answers are those of the deadlines that are
    /// there, in milliseconds from now, not positive where the time is over.
    package func run(_ round: LeaseRound) throws(LogError) -> (remainingMs: [LeaseID: Int64], head: Head) {
        var steps: [(statement: Statement, parameters: Parameters)] = []
        if !round.remove.isEmpty { steps.append((leaseStatements.remove, .leases(round.remove))) }
        if !round.set.isEmpty { steps.append((leaseStatements.set, .terms(round.set, graceMs: round.graceMs))) }
        if !round.ensure.isEmpty { steps.append((leaseStatements.ensure, .terms(round.ensure))) }
        if !round.read.isEmpty { steps.append((leaseStatements.read, .leases(round.read))) }
        steps.append((statements.readHead, .none))
        // Each statement has to see what was committed meanwhile, the last one most of all.
        let results = try retrying { () throws(LogError) in try transaction(steps, within: settings.limits.readLimit) }
        var remainingMs: [LeaseID: Int64] = [:]
        if !round.read.isEmpty {
            let read = results[results.count - 2]
            for row in 0..<read.rowCount { remainingMs[try read.integer(row, 0)] = try read.integer(row, 1, as: Int64.self) }
        }
        let head = results[results.count - 1]
        guard head.rowCount == 1 else { throw LogError.malformed("the head table has \(head.rowCount) rows") }
        return (remainingMs, try head.head(0))
    }

    /// Whose time is over, earliest first, at most `limit`; where those are all, how long it is until the next. Nobody's as long as
    /// the duty isn't the holder's.
    package func findDue(holder: Int64, limit: Int) throws(LogError) -> (due: [LeaseID], nextMs: Int64?) {
        let result = try connection.run(
            leaseStatements.findDue,
            .build {
                $0.add(holder)
                $0.add(Int64(limit))
            }, within: settings.limits.readLimit)
        var due: [LeaseID] = []
        for row in 0..<result.rowCount {
            guard try result.boolean(row, 1) else { return (due, max(0, try result.integer(row, 2, as: Int64.self))) }
            due.append(try result.integer(row, 0))
        }
        return (due, nil)
    }

    // MARK: Duty

    package enum Duty: Hashable, Sendable {
        /// `taken`: it was not ours until now, or had lapsed.
        case held(taken: Bool)
        case heldByAnother(forMs: Int64, swept: Sweep)
    }

    /// Becomes or stays the steward where nobody else is.
    package func keepDuty(holder: Int64, termMs: Int) throws(LogError) -> Duty {
        let parameters = Parameters.build {
            $0.add(holder)
            $0.add(Int64(termMs))
        }
        return try retrying { () throws(LogError) in
            let limit = settings.limits.readLimit
            if try connection.run(leaseStatements.renewDuty, parameters, within: limit).affectedRows == 1 {
                return .held(taken: false)
            }
            let taken = try connection.run(leaseStatements.takeDuty, parameters, within: limit)
            if taken.rowCount == 1 {
                noteTaken(leftMs: taken.isNull(0, 0) ? 0 : try taken.integer(0, 0), termMs: Int64(termMs))
                return .held(taken: true)
            }
            let left = try connection.run(leaseStatements.readDuty, within: limit)
            guard left.rowCount == 1 else { throw LogError.malformed("the table sweep has \(left.rowCount) rows") }
            return .heldByAnother(forMs: try left.integer(0, 0), swept: try left.sweep(0, from: 1))
        }
    }

    private func noteTaken(leftMs: Int64, termMs: Int64) {
        guard leftMs > termMs else { return }
        logger.warning(
            "took over the steward's duty, whose end was further off than one term: the database's clock was set back, or a standby with a slower one took over",
            metadata: ["left": "\(Duration.milliseconds(leftMs).brief)", "term": "\(Duration.milliseconds(termMs).brief)"])
    }

    package func releaseDuty(holder: Int64) throws(LogError) {
        _ = try connection.run(leaseStatements.releaseDuty, .build { $0.add(holder) }, within: settings.limits.readLimit)
    }
}

extension Parameters {
    static func leases(_ leases: [LeaseID]) -> Parameters {
        .build(capacity: 32 + leases.count * 12) { $0.addArray(leases) }
    }

    static func terms(_ terms: [LeaseTerm], graceMs: Int64? = nil) -> Parameters {
        .build(capacity: 64 + terms.count * 24) { writer in
            writer.addArray(terms.map(\.lease))
            writer.addArray(terms.map(\.milliseconds))
            if let graceMs { writer.add(graceMs) }
        }
    }

    static func expiry(_ expiry: LeaseExpiry) -> Parameters {
        .build(capacity: 64 + expiry.leases.count * 12) { writer in
            writer.add(expiry.holder)
            writer.addArray(expiry.leases)
        }
    }
}

extension ParameterWriter {
    mutating func addArray(_ numbers: [Int64]) {
        array(of: TypeID.int8, numbers) { $0.element($1) }
    }

    mutating func addArray(_ leases: [LeaseID]) {
        array(of: TypeID.int8, leases) { $0.element($1) }
    }
}
