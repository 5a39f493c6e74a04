// Owns: `pine restore` between the command line and the log: what the data directory says was served, and the database.
package import Changelog
package import EtcdAPI
internal import Keyspace
package import Logging

extension Database {
    /// Compares the log with what the files in `dataDirectory` say was served. Throws where one can't be read: it might be what matters.
    package func restorePlan(dataDirectory: String?, logger: Logger) async throws(ServerError) -> RestorePlan {
        let read = dataDirectory.map { ServedMarks.read(dataDirectory: $0) }
        if let path = read?.unreadable.first {
            throw ServerError(
                "\(path) does not say what was served: it is damaged, or this user can't read it; without --data-dir, --apply raises the "
                    + "revision in any case")
        }
        let settings = try logSettings()
        let marks = read?.files.sorted { $0.key < $1.key }.flatMap(\.value) ?? []
        do {
            return try await onThread { () throws(LogError) in try RestorePlan.make(settings, marks: marks, logger: logger) }
        } catch {
            throw ServerError("\(error)")
        }
    }

    /// Moves the log past `served`; gives the new revision.
    package func raiseRevision(past served: Revision, logger: Logger) async throws(ServerError) -> Revision {
        let settings = try logSettings()
        do {
            return try await onThread { () throws(LogError) in try RestorePlan.raise(settings, past: served, logger: logger) }
        } catch {
            throw ServerError("\(error)")
        }
    }
}
