// Owns: killing Pine and PostgreSQL under load, and what must hold afterwards.
import Bytes
import EtcdAPI
import Foundation
import TestSupport
import Testing

@Suite("Crashes under load", .serialized, .ownThreads)
struct CrashTests {
    private enum Victim: CaseIterable {
        case pine
        case postgres
        case both
    }

    @Test("20 kills of Pine, PostgreSQL or both: nothing acknowledged is lost, nothing half done is kept")
    func ownDatabase() throws {
        let seed = testSeed("CrashTests.ownDatabase")
        var random = SeededGenerator(seed: seed)
        let postgres = try PostgresServer()
        let port = try freePort()
        let arguments = ["--postgres", postgres.connectionString, "--listen-client-urls", "http://127.0.0.1:\(port)"]
        var pine = try PineProcess(arguments)
        let load = WriteLoad(ports: [port], clients: 6, seed: seed)
        var back: [Victim: [Duration]] = [:]
        for round in 0..<20 {
            try load.awaitAcknowledged(random.number(20...400))
            let victim = Victim.allCases[round % 3]
            if victim != .postgres {
                pine.kill()
                try pine.waitForExit()
            }
            if victim != .pine { postgres.kill() }
            // Some clients meet a server that is down; sometimes Pine, started first, has to wait for its database.
            let pineFirst = victim == .both && random.chance(0.5)
            if pineFirst { pine = try PineProcess(arguments) }
            if victim != .pine { try postgres.start() }
            if victim != .postgres, !pineFirst { pine = try PineProcess(arguments) }
            let ready = ContinuousClock.now
            back[victim, default: []].append(try load.serviceBack(after: ready))
            try #require(pine.isRunning, "Pine outlives PostgreSQL:\n\(pine.log.suffix(4_000))")
        }
        try load.awaitAcknowledged(100)
        try finish(load, port: port) { try postgres.psql($0) }
        report("own database", back)
    }

    @Test("6 kills with the private PostgreSQL: the same holds, and it is started again")
    func privateDatabase() throws {
        let seed = testSeed("CrashTests.privateDatabase")
        var random = SeededGenerator(seed: seed)
        let folder = try TemporaryFolder()
        let port = try freePort()
        let arguments = ["--data-dir", folder.file("data"), "--listen-client-urls", "http://127.0.0.1:\(port)"]
        var pine = try PineProcess(arguments)
        let load = WriteLoad(ports: [port], clients: 4, seed: seed)
        var back: [Victim: [Duration]] = [:]
        for round in 0..<6 {
            try load.awaitAcknowledged(random.number(20...300))
            let victim = Victim.allCases[(round + 1) % 3]
            if victim != .pine { try killPrivatePostgres(in: folder.file("data")) }
            if victim != .postgres {
                pine.kill()
                try pine.waitForExit()
                pine = try PineProcess(arguments)
            }
            do {
                back[victim, default: []].append(try load.serviceBack(after: .now))
            } catch {
                throw TestSupportError("\(error) after \(victim) was killed:\n\(pine.log.suffix(6_000))")
            }
            try #require(pine.isRunning, "Pine outlives its PostgreSQL:\n\(pine.log.suffix(4_000))")
        }
        try load.awaitAcknowledged(100)
        let process = try #require(privatePostmaster(in: folder.file("data")))
        try finish(load, port: port) { try privateQuery($0, in: folder.file("data")) }
        report("private database", back)
        // A stop that is asked for ends both.
        pine.kill(SIGTERM)
        #expect(try pine.waitForExit() == .exited(0))
        try eventuallyBlocking("the end of PostgreSQL") { !ProcessTable.isAlive(process) }
    }

    // MARK: Pieces

    private func finish(_ load: WriteLoad, port: Int, _ query: (String) throws -> String) throws {
        let writes = try load.stop()
        let verdict = try Verdict(writes, query)
        try verdict.judge()
        try verdict.compare(with: EtcdClient(port: port))
        let unknown = writes.filter { if case .unknown = $0.fate { true } else { false } }.count
        print("CrashTests: \(writes.count) writes, \(unknown) with an open outcome, \(verdict.rows.count) rows")
    }

    private func report(_ name: String, _ back: [Victim: [Duration]]) {
        for victim in Victim.allCases {
            let times = (back[victim] ?? []).sorted()
            guard let last = times.last else { continue }
            print("CrashTests, \(name), \(victim) killed: served again after \(times[times.count / 2]) (median), \(last) (most)")
        }
    }

    private func killPrivatePostgres(in dataFolder: String) throws {
        let postmaster = try #require(privatePostmaster(in: dataFolder))
        kill(postmaster, SIGSTOP)
        let children = ProcessTable.children(of: postmaster)
        kill(postmaster, SIGKILL)
        for child in children { kill(child, SIGKILL) }
    }

    private func privatePostmaster(in dataFolder: String) -> pid_t? {
        contents(of: "\(dataFolder)/postgres/data/postmaster.pid").split(separator: "\n").first.flatMap { pid_t($0) }
    }

    private func privateQuery(_ query: String, in dataFolder: String) throws -> String {
        let lines = contents(of: "\(dataFolder)/postgres/data/postmaster.pid").split(
            separator: "\n", omittingEmptySubsequences: false)
        let psql = try findExecutable("psql", install: "apt-get install postgresql-client")
        let connection = "host=\(lines[4]) port=\(lines[3]) user=pine dbname=pine passfile=\(dataFolder)/pgpass"
        let result = try runCommand(psql, ["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", connection, "-c", query])
        guard result.status == 0 else { throw TestSupportError("psql: \(result.stderr)") }
        return result.stdout
    }
}
