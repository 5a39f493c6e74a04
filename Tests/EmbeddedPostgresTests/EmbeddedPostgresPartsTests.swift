internal import Foundation
internal import Glibc
internal import TestSupport
internal import Testing

@testable import EmbeddedPostgres

@Suite("A claim to a data directory", .ownThreads)
struct DataDirectoryLockTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test("ends with its release, and is never inherited by a child")
    func lifetime() throws {
        let data = folder.file("a/b/data")
        let lock = try DataDirectoryLock(dataDirectory: data)
        let child = try ChildProcess("/bin/sleep", ["1000"], outputPath: folder.file("sleep"))
        #expect(throws: EmbeddedPostgresError.self) { try DataDirectoryLock(dataDirectory: data) }
        lock.release()
        lock.release()
        #expect(child.isRunning)
        let next = try DataDirectoryLock(dataDirectory: data + "//")
        #expect(contents(of: "\(data)/pine.lock") == "\(getpid())\n")
        next.release()
    }

    @Test("goes with the process that holds it, killed or not, and the file alone claims nothing")
    func staleFile() throws {
        try Data("4000000\n".utf8).write(to: URL(filePath: folder.file("pine.lock")))
        try DataDirectoryLock(dataDirectory: folder.path).release()
        let flock = try findExecutable("flock", in: ["/usr/bin"], install: "install util-linux")
        let holder = try ChildProcess(
            flock, ["--no-fork", "--exclusive", folder.file("pine.lock"), "sleep", "1000"], outputPath: folder.file("log"))
        try eventuallyBlocking("the other process holding it") { (try? DataDirectoryLock(dataDirectory: folder.path)) == nil }
        holder.kill(SIGKILL)
        try holder.waitForExit()
        try DataDirectoryLock(dataDirectory: folder.path).release()
    }
}

@Suite("The watch that ends PostgreSQL when Pine is killed", .ownThreads)
struct DeathWatchTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Once it is the user's: before, the watch may not signal it.
    private func sleeper() throws -> ChildProcess {
        let process = try ChildProcess("/bin/sleep", ["1000"], outputPath: folder.file("sleep"), user: try UnprivilegedUser.whenRoot())
        try eventuallyBlocking("a process that sleeps") { contents(of: "/proc/\(process.processIdentifier)/comm") == "sleep\n" }
        return process
    }

    @Test("interrupts the last process named when its other end closes without a good-bye, and no other")
    func killed() async throws {
        let first = try sleeper()
        let second = try sleeper()
        var watch: DeathWatch? = try DeathWatch(user: try ServerUser.choose(cluster: nil, dataDirectory: nil))
        watch?.watch(first.processIdentifier)
        watch?.watch(nil)
        watch?.watch(second.processIdentifier)
        #expect(second.isRunning)
        // What the kernel does to a killed process.
        watch = nil
        try await eventually("the end of the last process named") { !second.isRunning }
        #expect(second.exitStatus == .killed(signal: SIGINT))
        #expect(first.isRunning)
    }

    @Test("holds a program back until the gate is opened, and lets none through whose Pine is gone")
    func startGate() throws {
        let user = try ServerUser.choose(cluster: nil, dataDirectory: nil)
        for isOpened in [true, false] {
            let gate = try StartGate()
            let (program, arguments) = try StartGate.command("/bin/echo", ["through"], user: user)
            let output = folder.file("gate-\(isOpened)")
            let process = try ChildProcess(program, arguments, input: gate.input, outputPath: output)
            close(gate.input)
            try eventuallyBlocking("the process at the gate") { gate.isReached }
            #expect(process.isRunning)
            if isOpened { gate.open() }
            _ = consume gate
            #expect(try process.waitForExit() == .exited(isOpened ? 0 : 1))
            #expect(contents(of: output) == (isOpened ? "through\n" : ""), "\(contents(of: output))")
        }
    }

    @Test("leaves the process alone after a good-bye")
    func goodBye() async throws {
        let process = try sleeper()
        let watch = try DeathWatch(user: try ServerUser.choose(cluster: nil, dataDirectory: nil))
        watch.watch(process.processIdentifier)
        await watch.end()
        #expect(process.isRunning)
    }
}

@Suite("The folder of the socket", .ownThreads)
struct SocketFolderTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func cluster(_ name: String) async throws -> Cluster {
        let path = folder.file(name)
        try Files.makeFolder(path, mode: 0o700)
        return try await Cluster(dataDirectory: path)
    }

    @Test("lies in the data directory as long as the socket's path fits, to the byte")
    func limit() async throws {
        let rest = "/\("x")/postgres/run/.s.PGSQL.5432".utf8.count - 1
        let longest = SocketFolder.pathLimit - folder.path.utf8.count - rest
        let fitting = try SocketFolder(try await cluster(String(repeating: "a", count: longest)), runtimeFolder: nil)
        #expect(!fitting.isTemporary)
        let long = try SocketFolder(try await cluster(String(repeating: "a", count: longest + 1)), runtimeFolder: nil)
        #expect(long.isTemporary)
        #expect(long.path.hasPrefix("/tmp/pine-"))
        long.remove()
        #expect(access(long.path, F_OK) != 0)
    }

    @Test("is the same after a crash, emptied, but never one that somebody else made or opened")
    func squatted() async throws {
        let cluster = try await cluster(String(repeating: "long", count: 40))
        let first = try SocketFolder(cluster, runtimeFolder: nil)
        try Data().write(to: URL(filePath: "\(first.path)/.s.PGSQL.5432.lock"))
        let again = try SocketFolder(cluster, runtimeFolder: nil)
        #expect(again.path == first.path)
        #expect(Files.list(again.path).isEmpty)

        chmod(first.path, 0o755)
        let other = try SocketFolder(cluster, runtimeFolder: nil)
        #expect(other.path != first.path)
        #expect(Files.status(other.path)?.mode == 0o700)
        other.remove()
        first.remove()

        try FileManager.default.createSymbolicLink(atPath: first.path, withDestinationPath: folder.path)
        let third = try SocketFolder(cluster, runtimeFolder: nil)
        #expect(third.path != first.path)
        third.remove()
        unlink(first.path)
    }

    @Test("lies in the user's runtime folder where there is one of theirs")
    func runtimeFolder() async throws {
        let cluster = try await cluster(String(repeating: "long", count: 40))
        let runtime = folder.file("runtime")
        try Files.makeFolder(runtime, mode: 0o700)
        let socket = try SocketFolder(cluster, runtimeFolder: runtime)
        // Root's runtime folder is closed to the user that PostgreSQL runs as.
        #expect(socket.path.hasPrefix(geteuid() == 0 ? "/tmp/" : runtime))
        socket.remove()
    }
}

@Suite("The user that PostgreSQL runs as", .ownThreads)
struct ServerUserTests {
    @Test("is never root, and keeps to the first owner that isn't")
    func choice() throws {
        func folder(_ owner: uid_t) -> Files.Status { Files.Status(owner: owner, group: owner, mode: 0o700, isFolder: true) }
        func choose(_ cluster: Files.Status?, _ dataDirectory: Files.Status?) throws -> uid_t {
            try ServerUser.choose(cluster: cluster, dataDirectory: dataDirectory).uid
        }
        #expect(try choose(nil, nil) != 0)
        guard geteuid() == 0 else {
            #expect(try choose(folder(1234), folder(1)) == geteuid())
            return
        }
        #expect(try choose(folder(1234), folder(1)) == 1234)
        #expect(try choose(folder(0), folder(1)) == 1)
        #expect(try choose(nil, folder(1)) == 1)
        // Without a name, initdb would refuse.
        #expect(try choose(nil, folder(987_654)) == choose(nil, nil))
    }

    @Test("may enter a folder by the bits of its own class only")
    func permission() {
        let user = ServerUser(uid: 10, gid: 20)
        func may(_ owner: uid_t, _ group: gid_t, _ mode: mode_t) -> Bool {
            user.mayEnter(Files.Status(owner: owner, group: group, mode: mode, isFolder: true))
        }
        #expect(may(10, 0, 0o100) && !may(10, 20, 0o011))
        #expect(may(0, 20, 0o010) && !may(0, 20, 0o701))
        #expect(may(0, 0, 0o001) && !may(0, 0, 0o770))
    }
}
