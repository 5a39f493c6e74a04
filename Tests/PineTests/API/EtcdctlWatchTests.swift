// Owns: `etcdctl watch` in all its forms: what it prints against Pine is what it prints against etcd.
import Foundation
import TestSupport
import Testing

@Suite("etcdctl watch", .serialized, .ownThreads)
struct EtcdctlWatchTests {
    /// An `etcdctl watch` that runs until its object goes.
    private final class Watching {
        private let folder: TemporaryFolder
        private let process: ChildProcess
        private var input: FileHandle?

        /// With `interactive`, lines can be typed.
        init(_ arguments: [String], endpoint: String, interactive: Bool = false) throws {
            folder = try TemporaryFolder()
            let fifo = folder.file("input")
            let quoted = (["--endpoints=\(endpoint)", "watch"] + arguments).map { "'\($0)'" }.joined(separator: " ")
            var command = "ETCDCTL_API=3 exec '\(try EtcdServer.etcdctlPath())' \(quoted)"
            if interactive {
                guard mkfifo(fifo, 0o600) == 0 else { throw TestSupportError("can't make \(fifo)") }
                command += " <'\(fifo)'"
            }
            process = try ChildProcess("/bin/sh", ["-c", command], outputPath: folder.file("output"))
            // Opened for both, it waits for nobody.
            if interactive { input = FileHandle(forUpdatingAtPath: fifo) }
        }

        var output: String { contents(of: folder.file("output")) }

        func type(_ line: String) { input?.write(Data("\(line)\n".utf8)) }

        /// What it has printed once that contains each of `texts`.
        func output(with texts: [String]) throws -> String {
            do {
                try eventuallyBlocking("the output of etcdctl watch") {
                    let output = output
                    return texts.allSatisfy { output.contains($0) }
                }
            } catch {
                throw TestSupportError("\(error): \(texts) in\n\(output)")
            }
            return output
        }

        /// How it ended, and what it has printed.
        func end() throws -> String { "\(try process.waitForExit()): \(output)" }
    }

    private func etcdctl(_ arguments: String..., endpoint: String) throws {
        let result = try EtcdServer.etcdctl(arguments, endpoint: endpoint)
        try #require(result.status == 0, "etcdctl \(arguments): \(result.stderr)")
    }

    /// Watches that begin in the past, each with what its output must contain in the end.
    private static let forms: [(arguments: [String], texts: [String])] = [
        (["a", "--rev=2"], ["last"]),
        (["--prefix", "p/", "--rev=2"], ["p/2"]),
        (["a", "b", "--rev=2"], ["last"]),
        (["--prefix", "", "--rev=2"], ["last"]),
        (["a", "--rev=2", "--prev-kv"], ["last"]),
        (["b", "--rev=2", "--prev-kv"], ["DELETE"]),
        (["-w", "json", "a", "--rev=2"], ["bGFzdA=="]),
        (["-w", "json", "--prev-kv", "--prefix", "p", "--rev=3"], ["cC8y"]),
        // To its last line: this form prints each by itself.
        (["-w", "fields", "b", "--rev=2"], ["DELETE", "\"Value\" : \"\"\n\"Lease\" : 0\n"]),
        (["a", "--rev=2", "--", "sh", "-c", "echo $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE"], ["\"a\" \"last\""]),
    ]

    /// What every form prints against one endpoint.
    private func outputs(_ endpoint: String) throws -> [String] {
        try etcdctl("put", "a", "first", endpoint: endpoint)
        try etcdctl("put", "b", "1", endpoint: endpoint)
        try etcdctl("put", "p/1", "x", endpoint: endpoint)
        try etcdctl("put", "a", "second", endpoint: endpoint)
        try etcdctl("del", "b", endpoint: endpoint)
        try etcdctl("put", "p/2", "y", endpoint: endpoint)
        try etcdctl("put", "a", "last", endpoint: endpoint)
        let watching = try Self.forms.map { try Watching($0.arguments, endpoint: endpoint) }
        var outputs = try zip(watching, Self.forms).map { try $0.output(with: $1.texts) }
        // Compacted and future starts.
        try etcdctl("compact", "5", endpoint: endpoint)
        outputs.append(try Watching(["a", "--rev=2"], endpoint: endpoint).end())
        let future = try Watching(["--prefix", "a", "--rev=11"], endpoint: endpoint)
        for value in ["9", "10", "11", "12"] { try etcdctl("put", "a", value, endpoint: endpoint) }
        outputs.append(try future.output(with: ["12"]))
        return outputs.map(withoutIdentities)
    }

    /// Without what differs between two clusters, or by how a watch's past is cut into responses.
    private func withoutIdentities(_ output: String) -> String {
        output.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            // The time before a line of etcdctl's log.
            line.hasPrefix("{\"level\"") ? "" : String(line)
        }.joined(separator: "\n")
            .replacing(/"(cluster_id|member_id|raft_term|revision)":[0-9]+/, with: "")
            .replacing(/"(ClusterID|MemberID|RaftTerm|Revision)" : [0-9]+/, with: "")
    }

    @Test("it prints the same against Pine and etcd, whatever is asked")
    func sameAsEtcd() throws {
        let postgres = try PostgresServer()
        let pine = try PineProcess(["--postgres", postgres.connectionString])
        let etcd = try EtcdServer()
        let expected = try outputs(etcd.endpoint)
        let actual = try outputs(pine.endpoint)
        for (index, (a, b)) in zip(actual, expected).enumerated() { #expect(a == b, "form \(index)") }
    }

    @Test("it hears of what happens from now on, of progress, and takes orders while it runs")
    func live() throws {
        let postgres = try PostgresServer()
        let pine = try PineProcess(["--postgres", postgres.connectionString, "--watch-progress-notify-interval=100ms"])
        let endpoint = pine.endpoint
        let plain = try Watching(["k"], endpoint: endpoint)
        let notified = try Watching(["quiet", "--progress-notify"], endpoint: endpoint)
        let interactive = try Watching(["-i"], endpoint: endpoint, interactive: true)
        interactive.type("watch k")
        interactive.type("watch --prefix p/")
        var number = 0
        try eventuallyBlocking("events of all watches") {
            number += 1
            try etcdctl("put", "k", "value \(number)", endpoint: endpoint)
            try etcdctl("put", "p/1", "other \(number)", endpoint: endpoint)
            return plain.output.contains("value") && interactive.output.contains("value") && interactive.output.contains("other")
        }
        try etcdctl("put", "k", "the last", endpoint: endpoint)
        _ = try plain.output(with: ["PUT\nk\nthe last\n"])
        _ = try interactive.output(with: ["PUT\nk\nthe last\n"])
        interactive.type("progress")
        let revision = 2 + 2 * number
        _ = try interactive.output(with: ["progress notify: \(revision)\n"])
        _ = try notified.output(with: ["progress notify: \(revision)\n"])
    }
}
