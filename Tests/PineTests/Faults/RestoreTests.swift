// Owns: what becomes of Pine's promises when an older backup of its database is restored while no Pine runs.
import Bytes
import EtcdAPI
import Foundation
import TestSupport
import Testing

@Suite("Restoring a backup", .timeLimit(.minutes(4)), .ownThreads)
struct RestoreTests {
    private func start(_ connection: String, _ dataDirectory: String, _ arguments: String...) throws -> PineProcess {
        try PineProcess(["--postgres", connection, "--data-dir", dataDirectory] + arguments)
    }

    private func stop(_ pine: PineProcess) throws {
        pine.kill(SIGTERM)
        try pine.waitForExit()
    }

    private func put(_ client: EtcdClient, _ key: String, _ value: String) throws -> Revision {
        try #require(try client.put(ByteString(key), ByteString(value)).header?.revision)
    }

    /// What an informer that has seen `revision` is told when it goes on from there: the compact revision; nil where it may go on.
    private func refusal(_ client: EtcdClient, from revision: Revision) throws -> Revision? {
        let watch: EtcdStream<WatchResponse> = try client.open(.watch)
        watch.send(WatchRequest.create(WatchCreateRequest(key: "kept", startRevision: revision + 1)))
        var answer = try #require(try watch.receive())
        if answer.created, !answer.canceled {
            // While the watch is catching up nobody answers a request for progress.
            try eventuallyBlocking("the watch being up to date") {
                watch.send(WatchRequest.progress(WatchProgressRequest()))
                guard let next = try? watch.receive(timeout: .milliseconds(300)) else { return false }
                answer = next
                return true
            }
        }
        watch.cancel()
        return answer.canceled ? answer.compactRevision : nil
    }

    @Test("A Pine that starts on an older backup than it served raises the revision, whether it was stopped or killed; restarts don't")
    func noticed() throws {
        let server = try PostgresServer.shared()
        let folder = try TemporaryFolder()
        let data = folder.file("data")
        let connection = try server.newDatabase()
        var pine = try start(connection, data)
        let kept = try put(try EtcdClient(port: pine.port), "kept", "1")
        let dump = try server.dump(connection)
        let highest = try put(try EtcdClient(port: pine.port), "lost", "1")
        try stop(pine)

        // The database has it all, and others' writes of meanwhile, the values of which have no room.
        let other = try start(connection, folder.file("other"))
        var last: Revision = 0
        for number in 0..<40 { last = try put(try EtcdClient(port: other.port), "k\(number)", String(repeating: "x", count: 60_000)) }
        try server.psql("analyze pine.changelog", connection: connection)
        pine = try start(connection, data, "--value-cache-bytes", "64KiB")
        #expect(try EtcdClient(port: pine.port).get("lost").header?.revision == last)
        #expect(pine.log.contains("without values that memory has no room for"))
        #expect(try refusal(EtcdClient(port: pine.port), from: highest) == nil)
        last = try put(try EtcdClient(port: pine.port), "lost", "2")
        // No farewell.
        try eventuallyBlocking("the note") { contents(of: "\(data)/served/1").contains(" \(last) 0 ") }
        pine.kill()
        try pine.waitForExit()

        // The backup. Its next revisions will be others' than those that were seen.
        let restored = try server.newDatabase(from: dump)
        pine = try start(restored, data)
        let client = try EtcdClient(port: pine.port)
        let list = try client.get("kept")
        let revision = try #require(list.header?.revision)
        #expect(list.kvs.map(\.value) == ["1"] && list.kvs.first?.modRevision == kept)
        #expect(try client.get("lost").kvs == [])
        #expect(revision > last + 1_000)
        #expect(try #require(try refusal(client, from: last)) > last)
        // Who has listed goes on from there.
        let watch: EtcdStream<WatchResponse> = try client.open(.watch)
        watch.send(WatchRequest.create(WatchCreateRequest(key: "kept", startRevision: revision + 1)))
        #expect(try watch.receive()?.created == true)
        let next = try put(client, "kept", "2")
        #expect(try watch.receive()?.events.map { $0.kv?.modRevision } == [next])
        #expect(pine.log.contains("its revision was raised past that"))
        try stop(pine)
        // Once is enough, also for another Pine that has seen what is lost.
        let again = [try start(restored, data), try start(restored, folder.file("other"))]
        for pine in again { #expect(try EtcdClient(port: pine.port).get("kept").header?.revision == next) }
    }

    @Test("One data directory may serve several stores and several processes, each of which notices its own backups")
    func several() throws {
        let server = try PostgresServer.shared()
        let data = try TemporaryFolder()
        let connections = [try server.newDatabase(), try server.newDatabase()]
        let dumps = try connections.map { connection in
            let pines = [try start(connection, data.path), try start(connection, data.path)]
            let clients = try pines.map { try EtcdClient(port: $0.port) }
            _ = try put(clients[0], "kept", "1")
            let dump = try server.dump(connection)
            for number in 0..<6 { _ = try put(clients[number % 2], "lost", "\(number)") }
            for pine in pines { try stop(pine) }
            return dump
        }
        #expect(FileManager.default.fileExists(atPath: data.file("served/2")))
        for (connection, dump) in zip(connections, dumps) {
            let whole = try start(connection, data.path)
            #expect(try EtcdClient(port: whole.port).get("kept").header?.revision == 8)
            try stop(whole)
            let restored = try start(try server.newDatabase(from: dump), data.path)
            #expect(try #require(try EtcdClient(port: restored.port).get("kept").header?.revision) > 1_000)
            try stop(restored)
        }
    }

    @Test("A damaged file, or a folder that can't be written, is a line in the log and keeps nobody from serving")
    func damaged() throws {
        let server = try PostgresServer.shared()
        let folder = try TemporaryFolder()
        let data = folder.file("data")
        try FileManager.default.createDirectory(atPath: data + "/served", withIntermediateDirectories: true)
        try Data([0, 255, 10, 13]).write(to: URL(filePath: data + "/served/1"))
        let connection = try server.newDatabase()
        let pine = try start(connection, data)
        #expect(try put(try EtcdClient(port: pine.port), "a", "1") == 2)
        #expect(pine.log.components(separatedBy: "a file of what was served can't be read").count == 2)
        try stop(pine)
        #expect(contents(of: data + "/served/1").hasPrefix("pine served 1\n"))
        #expect(!FileManager.default.fileExists(atPath: data + "/served/1.new"))

        try Data().write(to: URL(filePath: folder.file("file")))
        let without = try start(connection, folder.file("file"))
        #expect(try put(try EtcdClient(port: without.port), "a", "2") == 3)
        #expect(without.log.contains("what is served can't be noted down in the data directory"))
    }

    @Test("pine restore says what is lost and what it would do, does it when told to, and once")
    func guided() throws {
        let server = try PostgresServer.shared()
        let data = try TemporaryFolder()
        let connection = try server.newDatabase()
        let before = try start(connection, data.path)
        _ = try put(try EtcdClient(port: before.port), "kept", "1")
        let dump = try server.dump(connection)
        var highest: Revision = 0
        for number in 0..<10 { highest = try put(try EtcdClient(port: before.port), "lost", "\(number)") }
        try stop(before)

        func restore(_ arguments: String...) throws -> String {
            let result = try PineProcess.run(["restore"] + arguments)
            try #require(result.exit == .exited(0), "\(result.stderr)")
            return result.stdout
        }
        let whole = try restore("--postgres", connection, "--data-dir", data.path)
        #expect(whole.contains("Served:   revision \(highest); the database has it"), "\(whole)")
        let restored = try server.newDatabase(from: dump)
        let found = try restore("--postgres", restored, "--data-dir", data.path)
        for part in [
            "Database: revision 2, never compacted", "Served:   revision \(highest); the database lacks it", "up to revision \(highest)",
            "from 2 to 1000000\(String(format: "%03lld", highest.rawValue))", "Nothing was changed.",
        ] { #expect(found.contains(part), "\(part) in\n\(found)") }
        #expect(try server.psql("select revision from pine.head", connection: restored) == "2")
        // Without the folder nobody knows, so it is the operator's to say.
        let unknown = try restore("--postgres", restored, "--served-revision", "5000000000")
        #expect(unknown.contains("Served:   not known") && unknown.contains("from 2 to 6000000000"), "\(unknown)")
        let done = try restore("--postgres", restored, "--apply")
        #expect(done.contains("The revision is 1000000002 now"), "\(done)")
        #expect(try restore("--postgres", restored, "--data-dir", data.path, "--apply").contains("there is nothing to do"))

        let after = try start(restored, data.file("new"))
        let client = try EtcdClient(port: after.port)
        #expect(try client.get("kept").header?.revision == 1_000_000_002)
        #expect(try refusal(client, from: highest) == 1_000_000_002)
        #expect(try put(client, "kept", "2") == 1_000_000_003)
        #expect(try restore("--postgres", restored).contains("Running:  "))
        let wrong = try PineProcess.run(["restore"])
        #expect(wrong.exit == .exited(2) && wrong.stderr.contains("which database?"), "\(wrong.stderr)")
    }
}
