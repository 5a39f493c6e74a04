// Owns: what Maintenance.Status and Cluster.MemberList ask of the database.
internal import Bytes

/// The size of the log's tables, from the catalog: cheap, and true within a checkpoint or so.
package struct DatabaseSizes: Hashable, Sendable {
    /// Bytes on disk of all of the log's tables, with indexes and out-of-line values.
    package var total: Int64
    /// How many rows the changelog has, as the last ANALYZE or VACUUM counted; 0 before the first.
    package var estimatedRows: Int
}

extension LogSession {
    package func databaseSizes() throws(LogError) -> DatabaseSizes {
        let result = try connection.run(
            statements.databaseSizes, .build { $0.add(text: settings.schema.text) }, within: settings.limits.readLimit)
        guard result.rowCount == 1 else { throw LogError.malformed("no sizes") }
        // Before the first ANALYZE the server says -1.
        return DatabaseSizes(
            total: try result.integer(0, 0), estimatedRows: max(0, Int(try result.integer(0, 1, as: Int64.self))))
    }

    /// Says that this process is alive.
    package func upsertMember(id: Int64, name: String, clientURLs: [String]) throws(LogError) {
        let parameters = Parameters.build { writer in
            writer.add(id)
            writer.add(text: name)
            writer.array(of: TypeID.text, clientURLs) { $0.element(ByteString($1)) }
        }
        try retrying { () throws(LogError) in
            _ = try connection.run(statements.upsertMember, parameters, within: settings.limits.readLimit)
        }
    }

    /// The members that said so within `age`, in the order of their ids. One that said so later than it is now is dead, since the
    /// clock was set back; a little later it may be by another node's clock.
    package func listMembers(within age: Duration) throws(LogError) -> [Member] {
        let result = try connection.run(
            statements.listMembers, .build { $0.add(age.wholeMs) }, within: settings.limits.readLimit)
        var members: [Member] = []
        for row in 0..<result.rowCount {
            members.append(
                Member(
                    id: try result.integer(row, 0), name: result.text(row, 1), clientURLs: try result.textArray(row, 2),
                    age: .milliseconds(try result.integer(row, 3, as: Int64.self))))
        }
        return members
    }

    /// Forgets a member, which leaves in good order, and those that have been silent for a day.
    package func removeMember(id: Int64) throws(LogError) {
        _ = try connection.run(statements.deleteMember, .build { $0.add(id) }, within: settings.limits.readLimit)
    }
}
