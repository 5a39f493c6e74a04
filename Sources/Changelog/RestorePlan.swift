// Owns: what an operator asks and does after a backup was restored: `pine restore`. A look at the log's end, its comparison with what
// was served, and the append that moves it past that.
// Must never: change anything but by that append, which is like any other: members that run fold it as they fold each other's.
package import EtcdAPI
package import Keyspace
package import Logging
package import Replica

/// A log, and what it lacks of what was served.
package struct RestorePlan: Sendable {
    package enum Verdict: Sendable {
        /// Served from another store.
        case otherStore
        /// The log was compacted past it: whoever has seen it is told to list again.
        case compacted
        /// The log has it.
        case kept
        case lost
    }

    package var head: Head
    /// Whether the log's last row is one that moved it past a lost history: nothing was written since.
    package var isRaised: Bool
    package var marks: [(mark: ServedMark, verdict: Verdict)]
    /// Who runs.
    package var members: [Member]

    /// The highest revision that is known to have been served, and is lost; nil for none.
    package var lostRevision: Revision? { marks.filter { $0.verdict == .lost }.map(\.mark.position.revision).max() }

    /// Asks.
    package static func make(_ settings: LogSettings, marks: [ServedMark], logger: Logger) throws(LogError) -> RestorePlan {
        let session = try LogSession(settings, logger: logger)
        _ = try Migrator(settings, logger: logger).check(on: session)
        var compared = marks.map { ComparedMark($0) }
        // Rows before the oldest mark are not read; the key may be one of them.
        if let key = try session.readKeyRow() {
            for index in compared.indices where key.position <= compared[index].served.position { compared[index].pass(key) }
        }
        var head = try session.readHead()
        let open = marks.filter { $0.isOpen(at: head) }.map(\.position)
        if var after = open.min() {
            while true {
                let tail = try session.readTail(after: after, limit: settings.limits.loadRowLimit)
                for row in tail.rows {
                    for index in compared.indices { compared[index].pass(row) }
                }
                head = tail.head
                if tail.reachesHead { break }
                after = tail.rows[tail.rows.count - 1].position
            }
        }
        return RestorePlan(
            head: head, isRaised: try session.endsInRaise(), marks: compared.map { ($0.served, verdict($0, head)) },
            members: try session.listMembers(within: .seconds(30)))
    }

    private static func verdict(_ compared: ComparedMark, _ head: Head) -> Verdict {
        if compared.served.clusterID != head.clusterID { return .otherStore }
        if !compared.served.isOpen(at: head) { return .compacted }
        return compared.isLost(from: head) ? .lost : .kept
    }

    /// Moves the log past its own end and `served`, and compacts what is before; gives the new revision.
    package static func raise(_ settings: LogSettings, past served: Revision, logger: Logger) throws(LogError) -> Revision {
        let session = try LogSession(settings, logger: logger)
        let origin = Int64.random(in: 1 ... .max)
        while true {
            let head = try session.readHead()
            let key = try session.readKeyRow().map { DigestKey($0) }
            let batch = AppendBatch.raising(
                head, key: key, to: max(head.position.revision, served) + revisionRaiseMargin, number: 1, origin: origin)
            // Members that run may write meanwhile.
            if case .appended = try session.append(batch) { return batch.newHead.position.revision }
        }
    }
}

extension LogSession {
    /// Whether the last row is one that moved the log past a lost history.
    fileprivate func endsInRaise() throws(LogError) -> Bool {
        let result = try connection.run(
            Statement(
                "select kind, create_revision from \(settings.schema.quoted).changelog order by revision desc, sub desc limit 1"),
            within: settings.limits.readLimit)
        guard result.rowCount == 1 else { return false }
        let kind: Int16 = try result.integer(0, 0)
        let revisionBefore: Int64 = try result.integer(0, 1)
        return RowKind(rawValue: kind) == .compact && revisionBefore != 0
    }
}
