internal import Foundation
internal import Glibc
internal import Logging
internal import TestSupport
internal import Testing

@testable import EmbeddedPostgres

/// What psql prints for `query` on the private server.
private func psql(_ connection: String, _ query: String) throws -> String {
    let psql = try findExecutable("psql", install: "apt-get install postgresql-client")
    let result = try runCommand(psql, ["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", connection, "-c", query])
    guard result.status == 0 else { throw TestSupportError(result.stderr) }
    return result.stdout.trimmingCharacters(in: .newlines)
}

private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

private func start(_ folder: String, binDirectory: String? = nil) async throws -> EmbeddedPostgres {
    try await EmbeddedPostgres.start(dataDirectory: folder, binDirectory: binDirectory, logger: logger)
}

/// Runs `body` on a started server and stops it, whatever `body` does.
private func withServer(_ folder: String, _ body: (EmbeddedPostgres) async throws -> Void) async throws {
    let server = try await start(folder)
    do {
        try await body(server)
    } catch {
        await server.stop()
        throw error
    }
    await server.stop()
}

@Suite("A private PostgreSQL", .ownThreads)
struct EmbeddedPostgresTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    var data: String { folder.file("pine-data") }

    @Test("starts in an empty folder, keeps what was written over a stop, and leaves no process behind")
    func roundTrip() async throws {
        var process: pid_t = 0
        try await withServer(data) { server in
            process = try #require(server.processIdentifier)
            #expect(server.isReady)
            _ = try psql(server.connectionString, "create table t as select generate_series(1, 10) as n")
        }
        #expect(!ProcessTable.isAlive(process))
        try await withServer(data) { server in
            try #expect(psql(server.connectionString, "select count(*) from t") == "10")
            #expect(server.restartCount == 0)
        }
    }

    @Test("is durable, private, in the C locale and in UTF-8")
    func settings() async throws {
        try await withServer(data) { server in
            let names = [
                "fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "listen_addresses": "", "jit": "off",
                "server_encoding": "UTF8", "data_checksums": "on", "wal_level": "minimal", "autovacuum": "on",
                "max_wal_size": "4GB",
                "checkpoint_timeout": "15min", "max_connections": "50",
            ]
            for (name, value) in names { try #expect(psql(server.connectionString, "show \(name)") == value, "\(name)") }
            try #expect(psql(server.connectionString, "select datcollate from pg_database where datname = 'pine'") == "C")
            try #expect(psql(server.connectionString, "select current_user || ' ' || current_database()") == "pine pine")

            // The folder of the socket is closed to others, and so is the password's file.
            let attributes = try FileManager.default.attributesOfItem(atPath: "\(data)/postgres")
            #expect(attributes[.posixPermissions] as? Int == 0o700)
            let password = try FileManager.default.attributesOfItem(atPath: "\(data)/pgpass")
            #expect(password[.posixPermissions] as? Int == 0o600)
            // Whoever gets at the socket still needs the password.
            let stranger = server.connectionString.replacingOccurrences(of: "pgpass", with: "nothing") + " password=wrong"
            #expect(throws: TestSupportError.self) { try psql(stranger, "select 1") }
            let process = try #require(server.processIdentifier)
            let owner = try FileManager.default.attributesOfItem(atPath: "/proc/\(process)")[.ownerAccountID] as? Int
            #expect(owner != 0)
        }
    }

    @Test("takes settings from local.conf, which Pine leaves alone")
    func localSettings() async throws {
        try await withServer(data) { _ in }
        try Data("work_mem = '7MB'\n".utf8).write(to: URL(filePath: "\(data)/postgres/data/local.conf"))
        chmod("\(data)/postgres/data/local.conf", 0o644)
        try await withServer(data) { server in try #expect(psql(server.connectionString, "show work_mem") == "7MB") }
    }

    @Test("comes back after its postmaster was killed, with everything that was committed")
    func supervision() async throws {
        try await withServer(data) { server in
            _ = try psql(server.connectionString, "create table t (n int)")
            for round in 1...3 {
                _ = try psql(server.connectionString, "insert into t values (\(round))")
                kill(try #require(server.processIdentifier), SIGKILL)
                try await eventually("the server being back") { server.restartCount == round && server.isReady }
                try #expect(psql(server.connectionString, "select count(*) from t") == "\(round)")
            }
        }
    }

    @Test("comes back after a backend crashed")
    func backendCrash() async throws {
        try await withServer(data) { server in
            let process = try #require(server.processIdentifier)
            kill(try #require(ProcessTable.children(of: process).first), SIGKILL)
            try await eventually("a connection") { (try? psql(server.connectionString, "select 1")) == "1" }
        }
    }

    @Test("is refused, naming the holder, while another Pine has the folder, and again possible after that")
    func secondStart() async throws {
        try await withServer(data) { _ in
            let error = await #expect(throws: EmbeddedPostgresError.self) { try await start(data) }
            #expect(error?.kind == .inUse)
            #expect(error?.message.contains("process \(getpid())") == true)
        }
        try await withServer(data) { _ in }
    }

    @Test("puts its socket elsewhere where the folder's path is too long, and takes it away again")
    func longPath() async throws {
        let long = folder.file(String(repeating: "long-", count: 20)) + "/" + String(repeating: "x'\" ,\\", count: 4)
        var socketFolder = ""
        try await withServer(long) { server in
            try #expect(psql(server.connectionString, "select 1") == "1")
            socketFolder = try psql(server.connectionString, "show unix_socket_directories").replacingOccurrences(
                of: "\"", with: "")
            #expect(socketFolder.utf8.count < 80)
            let attributes = try FileManager.default.attributesOfItem(atPath: socketFolder)
            #expect(attributes[.posixPermissions] as? Int == 0o700)
        }
        #expect(access(socketFolder, F_OK) != 0)
    }

    @Test("copes with every character in the folder's name")
    func oddPath() async throws {
        try await withServer(folder.file("it's \"a\", b\\c")) { server in
            try #expect(psql(server.connectionString, "select 1") == "1")
        }
    }

    @Test("starts over where initdb was interrupted")
    func interruptedInitdb() async throws {
        let postgres = "\(data)/postgres"
        try FileManager.default.createDirectory(atPath: "\(postgres)/data.new/base", withIntermediateDirectories: true)
        try Data("15\n".utf8).write(to: URL(filePath: "\(postgres)/data.new/PG_VERSION"))
        try Data("*:*:*:pine:old\n".utf8).write(to: URL(filePath: "\(data)/pgpass"))
        chmod("\(data)/pgpass", 0o600)
        if let user = try UnprivilegedUser.whenRoot() {
            for name in ["", "/data.new", "/data.new/base", "/data.new/PG_VERSION"] { try user.own(postgres + name) }
        }
        try await withServer(data) { server in
            try #expect(psql(server.connectionString, "select 1") == "1")
            #expect(access("\(postgres)/data.new", F_OK) != 0)
        }
    }

    @Test("gets a new password where its file is lost")
    func lostPassword() async throws {
        try await withServer(data) { _ in }
        try FileManager.default.removeItem(atPath: "\(data)/pgpass")
        try await withServer(data) { server in try #expect(psql(server.connectionString, "select 1") == "1") }
    }

    @Test("starts beside a stale postmaster.pid whose number is dead, a zombie's, or another process's of its user")
    func stalePidFile() async throws {
        try await withServer(data) { _ in }
        let other = try ChildProcess(
            "/bin/sleep", ["1000"], outputPath: folder.file("sleep"), user: try UnprivilegedUser.whenRoot())
        // It ends once its shell has become a sleep, which never reaps it; the shell itself might.
        let waiting = "while [ $(cat /proc/$PPID/comm) = sh ]; do sleep 0.05; done"
        let parent = try ChildProcess(
            "/bin/sh", ["-c", "sh -c '\(waiting)' & echo $!; exec sleep 1000"], outputPath: folder.file("zombie"),
            user: try UnprivilegedUser.whenRoot())
        var zombie: pid_t?
        try await eventually("a zombie") {
            zombie = pid_t(contents(of: folder.file("zombie")).trimmingCharacters(in: .newlines))
            return zombie.map { kill($0, 0) == 0 && !ProcessTable.isAlive($0) } ?? false
        }
        defer { parent.kill(SIGKILL) }
        for number in [pid_t(4_000_000), other.processIdentifier, try #require(zombie)] {
            let path = "\(data)/postgres/data/postmaster.pid"
            try Data("\(number)\n\(data)/postgres/data\n1700000000\n5432\n\(data)/postgres/run\n\n 1 1\nready\n".utf8)
                .write(to: URL(filePath: path))
            if let user = try UnprivilegedUser.whenRoot() { try user.own(path) }
            try await withServer(data) { server in try #expect(psql(server.connectionString, "select 1") == "1") }
            #expect(other.isRunning)
        }
    }

    @Test("stops the PostgreSQL that a killed Pine left running before it starts its own")
    func orphan() async throws {
        try await withServer(data) { _ in }
        // A postmaster on the cluster without any Pine, as after a SIGKILL of Pine and its death watch.
        let user = try UnprivilegedUser.whenRoot()
        let binaries = try await PostgresBinaries.find(folder: nil, major: nil, cluster: data)
        let cluster = "\(data)/postgres/data"
        let orphan = try ChildProcess(
            binaries.postgres,
            ["-D", cluster, "-c", "listen_addresses=", "-c", "unix_socket_directories=\(data)/postgres/run"],
            outputPath: folder.file("orphan"), user: user)
        try await eventually("the orphan being ready") { contents(of: "\(cluster)/postmaster.pid").contains("ready") }
        try await withServer(data) { server in
            #expect(!orphan.isRunning)
            try #expect(psql(server.connectionString, "select 1") == "1")
        }
    }

    @Test("does not touch an operator's shell that happens to be in its folder")
    func bystander() async throws {
        try await withServer(data) { _ in }
        let shell = try ChildProcess(
            "/bin/sleep", ["1000"], workingDirectory: "\(data)/postgres/data", outputPath: folder.file("sleep"))
        try await withServer(data) { _ in }
        #expect(shell.isRunning)
    }

    @Test("ends at once where a fast stop takes too long, and recovers at the next start")
    func immediateStop() async throws {
        let server = try await start(data)
        _ = try psql(server.connectionString, "create table t as select 1 as n")
        let process = try #require(server.processIdentifier)
        await server.stop(limit: .zero)
        #expect(!ProcessTable.isAlive(process))
        try await withServer(data) { server in try #expect(psql(server.connectionString, "select n from t") == "1") }
    }

    @Test("keeps trying, and stops when asked, while it can't start again")
    func brokenRestart() async throws {
        let server = try await start(data)
        let version = "\(data)/postgres/data/PG_VERSION"
        try FileManager.default.moveItem(atPath: version, toPath: version + ".away")
        kill(try #require(server.processIdentifier), SIGKILL)
        try await eventually("a third attempt") { server.restartCount >= 2 }
        #expect(!server.isReady)
        try FileManager.default.moveItem(atPath: version + ".away", toPath: version)
        try await eventually("the server being back") { server.isReady }
        await server.stop()
        await server.stop()
        #expect(server.processIdentifier == nil)
    }
}

@Suite("A private PostgreSQL that can't be had says why in one line", .ownThreads)
struct EmbeddedPostgresErrorTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }
    var data: String { folder.file("pine-data") }

    private func failure(_ folder: String, binDirectory: String? = nil) async throws -> EmbeddedPostgresError {
        let error = await #expect(throws: EmbeddedPostgresError.self) {
            let server = try await start(folder, binDirectory: binDirectory)
            await server.stop()
        }
        let found = try #require(error)
        #expect(!found.message.contains("\n"))
        return found
    }

    @Test("no programs: what to install on each system")
    func missingBinaries() async throws {
        let error = try await failure(data, binDirectory: folder.path)
        #expect(error.kind == .binariesMissing)
        for part in [folder.path, "apt-get install postgresql", "dnf install", "apk add", "brew install"] {
            #expect(error.message.contains(part), "\(error)")
        }
        let none = await #expect(throws: EmbeddedPostgresError.self) {
            try await PostgresBinaries.find(folder: nil, major: nil, cluster: data) { [] }
        }
        #expect(none?.message.hasPrefix("PostgreSQL is not installed") == true)
    }

    @Test("programs too old, or not of the cluster's version")
    func versions() async throws {
        func fake(_ version: String) throws -> String {
            let path = folder.file(version)
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            for name in ["postgres", "initdb"] {
                try Data("#!/bin/sh\necho 'postgres (PostgreSQL) \(version) (Debian)'\n".utf8).write(
                    to: URL(filePath: "\(path)/\(name)"))
                chmod("\(path)/\(name)", 0o755)
            }
            return path
        }
        let old = try fake("12.22")
        let thirteen = try fake("13.5")
        let beta = try fake("19beta1")
        let tooOld = try await failure(data, binDirectory: old)
        #expect(tooOld.kind == .binariesMissing)
        let places = [old, thirteen, beta, "/no/such/folder"]
        let newest = try await PostgresBinaries.find(folder: nil, major: nil, cluster: data) { places }
        #expect(newest == PostgresBinaries(folder: beta, major: 19))
        let same = try await PostgresBinaries.find(folder: nil, major: 13, cluster: data) { places }
        #expect(same.folder == thirteen)
        let other = await #expect(throws: EmbeddedPostgresError.self) {
            try await PostgresBinaries.find(folder: nil, major: 16, cluster: data) { places }
        }
        #expect(other?.kind == .otherVersion)
        #expect(other?.message.contains("PostgreSQL 16") == true && other?.message.contains("13, 19") == true)
    }

    @Test("a cluster of another version")
    func otherVersion() async throws {
        try await withServer(data) { _ in }
        let path = "\(data)/postgres/data/PG_VERSION"
        let user = try UnprivilegedUser.whenRoot()
        try Data("9.6\n".utf8).write(to: URL(filePath: path))
        try user?.own(path)
        #expect(try await failure(data).kind == .otherVersion)
    }

    @Test("a folder that can't be made, or is a file")
    func unusableFolder() async throws {
        try Data().write(to: URL(filePath: folder.file("file")))
        #expect(try await failure(folder.file("file")).kind == .folderUnusable)
        #expect(try await failure(folder.file("file/below")).kind == .folderUnusable)
        #expect(try await failure("/proc/pine").kind == .folderUnusable)
    }

    @Test("a folder above that PostgreSQL's user can't enter")
    func closedParent() async throws {
        let closed = folder.file("closed")
        mkdir(closed, geteuid() == 0 ? 0o700 : 0o500)
        let error = try await failure("\(closed)/pine-data")
        #expect(error.kind == .folderUnusable)
        #expect(error.message.contains(closed))
    }

    @Test("a cluster folder with something else in it")
    func noCluster() async throws {
        try FileManager.default.createDirectory(atPath: "\(data)/postgres/data", withIntermediateDirectories: true)
        #expect(try await failure(data).kind == .folderUnusable)
    }

    @Test("settings that PostgreSQL refuses: its own words")
    func refusedSettings() async throws {
        try await withServer(data) { _ in }
        try Data("shared_buffers = 'lots'\n".utf8).write(to: URL(filePath: "\(data)/postgres/data/local.conf"))
        chmod("\(data)/postgres/data/local.conf", 0o644)
        let error = try await failure(data)
        #expect(error.kind == .startFailed)
        #expect(error.message.contains("local.conf") || error.message.contains("shared_buffers"), "\(error)")
    }
}

@Suite("The tuning of a private PostgreSQL", .ownThreads)
struct PostgresSettingsTests {
    @Test("Shared buffers are an eighth of memory, from 128 MB to 1 GB")
    func sharedBuffers() {
        for (memoryMB, expected) in [(256, 128), (1024, 128), (2048, 256), (4096, 512), (8192, 1024), (1 << 20, 1024)] {
            #expect(PostgresSettings(memory: memoryMB << 20).sharedBuffersMB == expected)
        }
        #expect(PostgresSettings.availableMemory() > 64 << 20)
    }

    @Test("Version texts of releases, betas and old servers are understood")
    func versions() {
        #expect(PostgresBinaries.version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)") == 15)
        #expect(PostgresBinaries.version("postgres (PostgreSQL) 19beta1") == 19)
        #expect(PostgresBinaries.version("postgres (PostgreSQL) 9.6.24") == 9)
        #expect(PostgresBinaries.version("something else") == nil)
    }
}
