// Owns: `pine restore`: guiding an operator who has restored a backup of the database.
// Must never: change anything without --apply.
import ArgumentParser
import Changelog
import EmbeddedPostgres
internal import EtcdAPI
import Keyspace
import PineServer
import Replica

struct Restore: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "After a backup was restored: let clients list again instead of missing what is different.",
        usage: "pine restore --postgres <url> [--data-dir <folder>] [--served-revision <number>] [--apply] ...",
        discussion: """
            Clients remember revisions that they have seen. A restored database gives the revisions after the backup's to other writes, and \
            a client that goes on from where it was would miss those without a word. So the revision has to be raised past all that was \
            served, and what is before compacted: clients are then told that their place is gone, and list again.

            Pines that run while the database goes back, and Pines that start with the data directory in which they noted down what they \
            had served, do that by themselves. Where neither is so (the data directory is lost, the Pines are new), do it with this command, \
            after the restore and before Pines serve:

              pine restore --postgres postgres://user@host/database            # says what it finds, and what it would do
              pine restore --postgres postgres://user@host/database --apply    # does it

            With --data-dir, the database is compared with what that folder's Pine has served. The revision is raised by \
            \(revisionRaiseMargin), past the database's own, past what the folder says, and past --served-revision. Done twice, the second \
            time changes nothing. It does no harm where nothing is lost, but for the lists.
            """)

    @OptionGroup(title: "Database") var database: DatabaseOptions

    @Option(
        help: ArgumentHelp(
            "The data directory of a Pine that served before. Without --postgres, its private PostgreSQL, while `pine serve` runs there.",
            valueName: "folder"))
    var dataDir: String?

    @Option(
        help: ArgumentHelp(
            "The highest revision that any client may have seen, where that is known to be far beyond the database's: the largest "
                + "resourceVersion of a Kubernetes object, or etcd_debugging_mvcc_current_revision in an old scrape.", valueName: "number"))
    var servedRevision: Int64?

    @Flag(help: "Do it. Without this, nothing is changed.")
    var apply = false

    @OptionGroup(title: "Log") var log: LogOptions
    @OptionGroup(title: "Settings") var settings: SettingsOptions

    /// So that the raised revision has room in 64 bits for good.
    private static let servedRevisionLimit = Int64.max / 4

    func validate() throws {
        if let servedRevision, !(1...Self.servedRevisionLimit).contains(servedRevision) {
            throw ValidationError("--served-revision must be between 1 and \(Self.servedRevisionLimit), not \(servedRevision)")
        }
    }

    func run() async throws {
        let logger = log.makeLogger()
        let database = try namedDatabase()
        do {
            let plan = try await database.restorePlan(dataDirectory: dataDir, logger: logger)
            print(describe(plan, schema: database.schema))
            let served = max(plan.lostRevision ?? 0, Revision(servedRevision ?? 0))
            if plan.isRaised, plan.lostRevision == nil, served < plan.head.position.revision {
                print("The revision was raised already, and nothing was written since: there is nothing to do.")
                return
            }
            guard apply else {
                let target = max(plan.head.position.revision, served) + revisionRaiseMargin
                print(
                    """
                    \(conclusion(plan)) --apply raises the revision from \(plan.head.position.revision) to \(target) and compacts everything \
                    before: clients are told so, and list again.
                    Nothing was changed.
                    """)
                return
            }
            let revision = try await database.raiseRevision(past: served, logger: logger)
            print(
                "The revision is \(revision) now, and everything before is compacted. Start the Pines; nothing else needs to be restarted.")
        } catch {
            throw UsageError(error.message)
        }
    }

    private func namedDatabase() throws -> Database {
        if let named = try database.database() { return named }
        guard let dataDir else {
            throw UsageError("which database? Give --postgres or --postgres-file, or --data-dir for a private PostgreSQL that runs")
        }
        do {
            return database.database(at: try EmbeddedPostgres.connectionString(ofRunning: dataDir))
        } catch {
            throw UsageError(error.message)
        }
    }

    private func describe(_ plan: RestorePlan, schema: String) -> String {
        let head = plan.head
        let compacted = head.compactRevision > 0 ? "compacted below \(head.compactRevision)" : "never compacted"
        var lines = ["Database: revision \(head.position.revision), \(compacted), cluster \(hex(head.clusterID)), schema \(schema)"]
        for (mark, verdict) in plan.marks {
            let outcome =
                switch verdict {
                case .otherStore: "of another store, cluster \(hex(mark.clusterID))"
                case .compacted: "the database is compacted past it: whoever has seen it is told"
                case .kept: "the database has it"
                case .lost: "the database lacks it, or has another history"
                }
            lines.append("Served:   revision \(mark.position.revision); \(outcome)")
        }
        if plan.marks.isEmpty { lines.append("Served:   not known\(dataDir.map { ": \($0) does not say" } ?? ", without --data-dir")") }
        if let servedRevision { lines.append("Served:   revision \(servedRevision), as --served-revision says") }
        for member in plan.members {
            let urls = member.clientURLs.joined(separator: ",")
            lines.append("Running:  \(member.name) at \(urls); it would have noticed a lost history by itself")
        }
        return lines.joined(separator: "\n")
    }

    private func conclusion(_ plan: RestorePlan) -> String {
        if let lost = plan.lostRevision { return "History that was served is gone, up to revision \(lost)." }
        if plan.marks.contains(where: { $0.verdict == .kept || $0.verdict == .compacted }) {
            return "Of what this folder's Pine has served nothing is lost; others may have served more."
        }
        return "If the database is a restored backup, clients may know revisions that it lacks."
    }
}
