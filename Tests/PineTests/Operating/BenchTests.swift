// Owns: checks of `pine bench`, the program, against real servers.
import Bytes
import EtcdAPI
import Foundation
import TestSupport
import Testing

@Suite("pine bench", .ownThreads)
struct BenchTests {
    private func bench(_ arguments: String...) throws -> CommandResult {
        try PineProcess.run(["bench"] + arguments, timeout: .seconds(120))
    }

    @Test("Every workload runs against an etcd and against Pine, with every answer right, and says so in JSON")
    func everyWorkload() throws {
        let etcd = try EtcdServer()
        let pine = try PineProcess()
        for endpoint in [etcd.endpoint, pine.endpoint] {
            let result = try bench(
                "put", "get", "mixed", "txn", "txn-create", "txn-update", "txn-delete", "list:keys=1200,requests=40",
                "list-full:requests=20", "count", "watch:watchers=5", "lease-keepalive:leases=50,rate=max", "lease-flood:nodes=50",
                "kubernetes:nodes=20,pods-per-node=3,rate=max", "--endpoints", endpoint, "--connections", "2", "--streams", "5",
                "--threads", "2", "--keys", "300", "--requests", "200", "--warm-up", "0", "--watchers-elsewhere", "3", "--output",
                "json", "--quiet")
            #expect(result.status == 0, "\(result.stderr)\(result.stdout)")
            let results = try #require(try JSONSerialization.jsonObject(with: Data(result.stdout.utf8)) as? [[String: Any]])
            #expect(results.count == 14)
            for result in results {
                let workload = result["workload"] as? String ?? ""
                #expect(result["requests"] as? Int == (workload == "list" ? 40 : workload == "list-full" ? 20 : 200))
                #expect((result["errors"] as? [String: Int])?.isEmpty == true)
                #expect((result["server"] as? [String: Any]) != nil, "no CPU time of \(endpoint)'s process")
                if workload == "watch" {
                    let events = result["events"] as? [String: Any]
                    #expect((events?["latency"] as? [String: Any])?["count"] as? Int == 1_000)
                }
            }
        }
    }

    @Test("A comparison has a table and a page, with the ratios")
    func comparison() throws {
        let etcd = try EtcdServer()
        let pine = try PineProcess()
        let page = NSTemporaryDirectory() + "pine-bench-\(UUID().uuidString).html"
        defer { try? FileManager.default.removeItem(atPath: page) }
        let result = try bench(
            "compare", "put", "get:rate=500", "--endpoint", "etcd=\(etcd.endpoint)", "--endpoint", "pine=\(pine.endpoint)",
            "--requests", "100", "--rounds", "2", "--warm-up", "0", "--clients", "10", "--connections", "2", "--output", "markdown",
            "--html", page)
        #expect(result.status == 0, "\(result.stderr)")
        #expect(result.stdout.contains(" etcd |") && result.stdout.contains("pine / etcd"))
        #expect(result.stdout.contains("requests a second") && result.stdout.contains("server's CPU a request"))
        let text = try String(contentsOfFile: page, encoding: .utf8)
        #expect(text.contains("<svg") && text.contains("polyline") && !text.contains("http://cdn"))
    }

    @Test("A server that goes away ends the run with status 1, a mistake of the user with 2, each with one line")
    func failures() throws {
        let refused = try bench("put", "--endpoints", "http://127.0.0.1:1", "--quiet")
        #expect(refused.status == 1 && refused.stderr.hasPrefix("pine bench: can't connect to http://127.0.0.1:1"))
        let mistaken = try bench("putt")
        #expect(mistaken.status == 2 && mistaken.stderr.contains("putt is not a workload"))

        let etcd = try EtcdServer()
        let client = try EtcdClient(port: etcd.port)
        let firstKeys = RangeRequest(key: "/registry/pine-bench/", rangeEnd: "/registry/pine-bench0", countOnly: true)
        let killing = Thread {
            // Later than the thousand keys that are put before the run. Where it does not die the run ends without an error, and the test
            // fails.
            try? eventuallyBlocking("the first puts") { try client.range(firstKeys).header?.revision ?? 0 > 2_000 }
            try? etcd.kill()
        }
        killing.start()
        let lost = try bench("put", "--endpoints", etcd.endpoint, "--duration", "60", "--warm-up", "0", "--quiet")
        // A call ends as unavailable; where none is in flight, the connection's end is all that there is to tell.
        let said = lost.stdout + lost.stderr
        #expect(lost.status == 1 && (said.contains("unavailable") || said.contains("Connection reset by peer")), "\(said)")
    }

    @Test("Standard error that nobody reads any more is no reason to crash")
    func closedStandardError() throws {
        // The reader of the pipe has ended before the command begins.
        let script = #"exec 2> >(:); wait $!; "$0" bench put --endpoints http://127.0.0.1:1; echo "status $?""#
        let result = try runCommand(
            "/bin/bash", ["-c", script, try TestEnvironment.product("pine")], workingDirectory: "/", timeout: .seconds(60))
        #expect(result.stdout == "status 1\n")
    }
}
