// Owns: reading the whole log at start-up, in one snapshot.
package import Keyspace

/// How far loading has come.
package struct LoadProgress: Hashable, Sendable {
    package var rows: Int
    /// How many rows the server believes there are; may be wrong, and is 0 where it has no idea.
    package var estimatedRows: Int
}

extension LogSession {
    /// Hands out every row in position order, in chunks, and gives the head that belongs to them: all of one snapshot, so that
    /// what comes later comes after this head. The server prepares the next chunk while `chunk` works on one.
    ///
    /// `chunk` stops the loading by returning false; then `closed` is thrown.
    package func load(_ chunk: ([LogRow], LoadProgress) -> Bool) throws(LogError) -> Head {
        let limits = settings.limits
        let estimate = try databaseSizes().estimatedRows
        return try finishingTransaction { () throws(LogError) in
            _ = try connection.run(LogStatements.beginSnapshot, within: limits.readLimit)
            let statement = statements.readTail(limit: limits.loadRowLimit)
            var after = Position(0, -1)
            var progress = LoadProgress(rows: 0, estimatedRows: estimate)
            try connection.start(statement, .position(after), within: limits.readLimit)
            while true {
                let tail = try connection.finishStatement(within: limits.readLimit)
                    .tail(after: after, limit: limits.loadRowLimit, chunkByteLimit: limits.chunkByteLimit)
                if let last = tail.rows.last { after = last.position }
                if !tail.reachesHead { try connection.start(statement, .position(after), within: limits.readLimit) }
                progress.rows += tail.rows.count
                let goesOn = tail.rows.isEmpty || chunk(tail.rows, progress)
                if tail.reachesHead {
                    _ = try connection.run(LogStatements.commit, within: limits.readLimit)
                    return tail.head
                }
                guard goesOn else {
                    _ = try connection.finishStatement(within: limits.readLimit)
                    throw LogError.closed
                }
            }
        }
    }
}
