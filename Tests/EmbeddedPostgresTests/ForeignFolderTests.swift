// Owns: what root does in folders of PostgreSQL's user, who may have put anything there.
internal import Foundation
internal import Glibc
internal import Logging
internal import Synchronization
internal import TestSupport
internal import Testing

@testable import EmbeddedPostgres

private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// As another user than root there is nobody to be protected from.
@Suite("Root in a folder of PostgreSQL's user", .enabled(if: geteuid() == 0), .ownThreads)
struct ForeignFolderTests {
    let folder: TemporaryFolder
    let user: UnprivilegedUser

    init() throws {
        folder = try TemporaryFolder()
        user = try #require(try UnprivilegedUser.whenRoot())
    }

    private var data: String { folder.file("pine-data") }
    private var victim: String { folder.file("root/victim") }

    private enum Trap: CaseIterable { case symbolicLink, hardLink, pipe }

    /// Puts something into the place of `name`, as its folder's owner would; gives what takes it away again.
    private func plant(_ trap: Trap, _ name: String, leadingTo target: String) throws -> () -> Void {
        let path = "\(data)/\(name)"
        let aside = folder.file("aside")
        let wasThere = rename(path, aside) == 0
        switch trap {
        case .symbolicLink: try #require(symlink(target, path) == 0 && lchown(path, user.uid, user.gid) == 0)
        case .hardLink: try #require(link(target, path) == 0)
        case .pipe: try #require(mkfifo(path, 0o644) == 0 && chown(path, user.uid, user.gid) == 0)
        }
        return {
            unlink(path)
            if wasThere { rename(aside, path) }
        }
    }

    /// Starts and stops PostgreSQL; that it fails is no fault here.
    private func tryToStart() async -> EmbeddedPostgresError? {
        let deadline = ContinuousClock.now + .seconds(20)
        while true {
            do throws(EmbeddedPostgresError) {
                let server = try await EmbeddedPostgres.start(dataDirectory: data, logger: logger)
                await server.stop()
                return nil
            } catch {
                // Another test's child has the last start's lock until it executes its program.
                guard error.kind == .inUse, ContinuousClock.now < deadline else { return error }
                await Task.yield()
            }
        }
    }

    /// A folder and a file of root's that nobody else may touch or read.
    private func makeVictim() throws {
        try FileManager.default.createDirectory(
            atPath: folder.file("root"), withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        try Data("15\nprecious\n\n5432\n/etc\n".utf8).write(to: URL(filePath: victim))
        chmod(victim, 0o644)
    }

    private func victimState() throws -> String {
        var found = stat()
        try #require(stat(victim, &found) == 0)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.file("root"))
        var outer = stat()
        try #require(stat(folder.file("root"), &outer) == 0)
        return "\(found.st_uid) \(found.st_gid) \(found.st_mode) \(outer.st_uid) \(outer.st_mode) \(names) \(contents(of: victim))"
    }

    @Test("writes, empties, gives away, deletes and reads nothing that a link there leads to")
    func traps() async throws {
        try #require(await tryToStart() == nil)
        // As where a container's volume belongs to the user.
        try #require(chown(data, user.uid, user.gid) == 0)
        try makeVictim()
        let before = try victimState()
        let links = [Trap.symbolicLink, .hardLink]
        let traps = [
            ("pine.lock", Trap.allCases), ("pgpass", Trap.allCases), ("postgres/log/start.log", links),
            ("postgres/data/pine.conf.new", links),
        ]
        for (name, traps) in traps {
            for trap in traps {
                let remove = try plant(trap, name, leadingTo: victim)
                let error = await tryToStart()
                #expect(try victimState() == before, "\(name) \(trap)")
                #expect(error?.kind == (name.contains("/") ? nil : .folderUnusable), "\(name) \(trap)")
                remove()
            }
        }
        for trap in [Trap.symbolicLink, .pipe] {
            let remove = try plant(trap, "postgres/data/postmaster.pid", leadingTo: victim)
            #expect(throws: EmbeddedPostgresError.self, "\(trap)") { try EmbeddedPostgres.connectionString(ofRunning: data) }
            remove()
        }
        for name in ["postgres", "postgres/log", "postgres/run", "postgres/data", "postgres/data.new"] {
            let remove = try plant(.symbolicLink, name, leadingTo: folder.file("root"))
            _ = await tryToStart()
            #expect(try victimState() == before, "\(name)")
            remove()
        }
        #expect(await tryToStart() == nil)
    }

    @Test("has the user's rights to files, in the thread that wants them and for as long, and root's again after")
    func fileRights() throws {
        try makeVictim()
        let (path, new) = (victim, folder.file("new"))
        let (asked, answered) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let elsewhere = Mutex<String?>(nil)
        // Begun before: a thread that begins with the user's rights keeps them.
        Thread.detachNewThread {
            asked.wait()
            elsewhere.withLock { $0 = Files.read(path) }
            answered.signal()
        }
        let inside = ServerUser(uid: user.uid, gid: user.gid).withFileRights {
            asked.signal()
            answered.wait()
            return (Files.read(path), Files.exists(path), mkdir(new, 0o700))
        }
        #expect(inside == (nil, false, -1))
        #expect(elsewhere.withLock { $0 } != nil)
        #expect(Files.read(path) != nil)
        #expect(mkdir(new, 0o700) == 0)
    }
}
