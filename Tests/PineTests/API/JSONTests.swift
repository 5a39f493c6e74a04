// Tests the JSON gateway of a real server, and its flags.
import Bytes
import EtcdAPI
import Foundation
import TestSupport
import Testing

@Suite("JSON", .timeLimit(.minutes(2)), .ownThreads)
struct JSONTests {
    private func post(_ path: String, _ body: String, port: Int, host: String = "localhost", fields: String = "") throws -> HTTPAnswer {
        let client = try HTTPClient(port: port)
        try client.send(
            "POST \(path) HTTP/1.1\r\nHost: \(host)\r\n\(fields)Content-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n\(body)")
        return try client.answer()
    }

    @Test("Calls in JSON and over gRPC see one store, and metrics addresses have no calls")
    func calls() throws {
        let pine = try PineProcess([
            "--postgres", try PostgresServer.shared().newDatabase(), "--listen-metrics-urls", "http://127.0.0.1:0",
        ])
        let client = try EtcdClient(port: pine.port)
        _ = try client.put("k", "v")
        let range = try post("/v3/kv/range", #"{"key":"aw=="}"#, port: pine.port)
        #expect(range.status == 200 && range.body.contains(#""value":"dg==""#))
        #expect(range.fields["access-control-allow-origin"] == "*")
        #expect(try post("/v3/kv/put", #"{"key":"aw==","value":"dw=="}"#, port: pine.port).body.contains(#""revision":"3""#))
        #expect(try client.get("k").kvs.first?.value == "w")
        #expect(try post("/v3/kv/range", "{}", port: try #require(pine.metricsPort)).status == 404)
    }

    @Test("The gateway's flags are etcd's, with and without a value")
    func flags() throws {
        let database = try PostgresServer.shared().newDatabase()
        do {
            let off = try PineProcess(["--postgres", database, "--enable-grpc-gateway=false", "--cors=", "--host-whitelist", ""])
            let answer = try post("/v3/kv/range", "{}", port: off.port)
            #expect(answer.status == 404 && answer.body == "404 page not found\n")
            #expect(answer.fields["access-control-allow-origin"] == "*")
        }
        let on = try PineProcess([
            "--postgres", database, "--enable-grpc-gateway", "--cors", "https://a,https://b", "--host-whitelist=pine,localhost",
        ])
        let answer = try post("/v3/kv/range", #"{"key":"aw=="}"#, port: on.port, host: "pine:1", fields: "Origin: https://b\r\n")
        #expect(answer.status == 200 && answer.fields["access-control-allow-origin"] == "https://b")
        #expect(try post("/v3/kv/range", "{}", port: on.port, host: "evil").status == 421)
    }
}
