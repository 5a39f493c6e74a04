// Tests calls in JSON from the socket to the log and back.
import Bytes
import Calls
import EtcdAPI
import Foundation
import Gateway
import HTTP1
import TestSupport
import Testing

@testable import PineServer

@Suite("The JSON gateway, served", .timeLimit(.minutes(4)), .ownThreads)
struct JSONGatewayTests {
    /// A line of an answer without what differs from server to server.
    private func plain(_ line: [UInt8]?) -> String? {
        line.map {
            String(decoding: $0, as: UTF8.self).replacing(/"(cluster_id|member_id|raft_term)":"[0-9]+",?/, with: "").replacing(
                ",}", with: "}")
        }
    }

    @Test("Calls come one after another on one connection, and several that are sent at once are answered in order")
    func unary() async throws {
        try await JSONServer.with { server in
            let client = try server.client()
            try client.send(request("/v3/kv/put", #"{"key":"YQ==","value":"Yg=="}"#))
            let put = try client.answer()
            #expect(put.status == 200 && put.fields["content-type"] == "application/json")
            #expect(plain(Array(put.body.utf8)) == #"{"header":{"revision":"2"}}"#)
            let range = request("/v3beta/kv/range", #"{"key":"YQ=="}"#)
            try client.send(range + request("/page", "", method: "GET") + request("/v3/kv/deleterange", #"{"key":"YQ=="}"#) + range)
            #expect(try client.answer().body.contains(#""value":"Yg==""#))
            #expect(try client.answer().body == "page\n")
            #expect(try client.answer().body.contains(#""deleted":"1""#))
            #expect(try !client.answer().body.contains("kvs"))
            #expect(try await server.openCount() == 0)
        }
    }

    @Test("What is no call is answered as etcd does")
    func refusals() async throws {
        try await JSONServer.with { server in
            func answer(_ method: String, _ path: String, _ fields: String = "") throws -> HTTPAnswer {
                let client = try server.client()
                try client.send(request(path, method == "GET" ? "" : "{}", method: method, fields: fields))
                return try client.answer(isHead: method == "HEAD")
            }
            let notFound = try answer("POST", "/v3/kv/nothing")
            #expect(notFound.status == 404 && notFound.body == #"{"code":5,"message":"Not Found"}"#)
            #expect(notFound.fields["access-control-allow-origin"] == "*")
            #expect(try answer("POST", "/v3/kv/range/").status == 404)
            let wrongMethod = try answer("GET", "/v3/kv/range")
            #expect(wrongMethod.status == 501 && wrongMethod.body == #"{"code":12,"message":"Method Not Allowed"}"#)
            #expect(try answer("HEAD", "/v3/kv/range").status == 501)
            #expect(try answer("POST", "/v3/kv/range", "X-HTTP-Method-Override: GET\r\n").status == 501)
            let redirect = try answer("POST", "/v3//kv/../kv/range?x=1")
            #expect(redirect.status == 307 && redirect.body.isEmpty && redirect.fields["location"] == "/v3/kv/range?x=1")
            #expect(redirect.fields["content-type"] == nil)
            #expect(try answer("GET", "/v3").body == "<a href=\"/v3/\">Temporary Redirect</a>.\n\n")
            let options = try answer("OPTIONS", "/v3/kv/range")
            #expect(options.status == 200 && options.body.isEmpty)
            #expect(try answer("GET", "/v2/keys").body == "404 page not found\n")
        }
    }

    @Test("JSON that is none, or says what is wrong, is told so; an empty body is an empty message")
    func faults() async throws {
        try await JSONServer.with { server in
            #expect(try server.post("/v3/kv/put", #"{"key":"YQ==","value":"Yg=="} and more"#).status == 200)
            let broken = try server.post("/v3/kv/put", "{\"key\":")
            #expect(broken.status == 400 && broken.body == #"{"code":3,"message":"unexpected EOF"}"#)
            #expect(try server.post("/v3/kv/put", "").body == #"{"code":3,"message":"etcdserver: key is not provided"}"#)
            let missing = try server.post("/v3/lease/revoke", #"{"ID":"77"}"#)
            #expect(missing.status == 404 && missing.body == #"{"code":5,"message":"etcdserver: requested lease not found"}"#)
            // A stream whose service ends with its input, and one that nobody would end.
            let keepAlive = try server.post("/v3/lease/keepalive", "{")
            #expect(keepAlive.status == 200 && keepAlive.body.isEmpty && keepAlive.fields["content-type"] == nil)
            let watch = try server.post("/v3/watch", #"{"create_request":7}"#)
            #expect(watch.status == 400 && watch.body.hasPrefix(#"{"error":{"code":3,"message":"proto:"#) && watch.body.hasSuffix("}}\n"))
            #expect(try await server.openCount() == 0)
        }
    }

    @Test("A watch sends its lines as they come, takes more requests while its body goes on, and ends with its client")
    func watch() async throws {
        try await JSONServer.with { server in
            let client = try server.client()
            try client.send("POST /v3/watch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            try client.send(chunk(#"{"create_request":{"ke"#) + chunk(#"y":"YQ=="}}"#))
            let head = try client.head()
            #expect(head.status == 200 && head.fields["transfer-encoding"] == "chunked" && head.fields["content-length"] == nil)
            #expect(plain(try client.chunk()) == #"{"result":{"header":{"revision":"1"},"created":true}}"# + "\n")
            _ = try server.post("/v3/kv/put", #"{"key":"YQ==","value":"Yg=="}"#)
            #expect(plain(try client.chunk())?.contains(#""value":"Yg==""#) == true)
            try client.send(chunk(#"{"create_request":{"key":"Yg==","watch_id":5}} {"cancel_request":{"watch_id":5}}"#))
            #expect(plain(try client.chunk())?.contains(#""watch_id":"5","created":true"#) == true)
            #expect(plain(try client.chunk())?.contains(#""watch_id":"5","canceled":true"#) == true)
            // What makes no sense ends the input, not the watch.
            try client.send(chunk("x") + "0\r\n\r\n")
            _ = try server.post("/v3/kv/put", #"{"key":"YQ==","value":"Yw=="}"#)
            #expect(plain(try client.chunk())?.contains(#""value":"Yw==""#) == true)
            #expect(try await server.openCount() == 2)
            client.hangUp()
            try await eventually("the watch is cancelled") { try await server.openCount() == 0 }
        }
    }

    @Test("Keep-alives of one body are answered each, and the answer ends with the body")
    func keepAlives() async throws {
        try await JSONServer.with { server in
            #expect(try server.post("/v3/lease/grant", #"{"ID":5,"TTL":60}"#).status == 200)
            let one = #"{"ID":"5"}"#
            let many = try server.post("/v3/lease/keepalive", [String](repeating: one, count: 1_000).joined(separator: "\n"))
            #expect(many.status == 200)
            let lines = many.body.split(separator: "\n")
            #expect(lines.count == 1_000 && lines.allSatisfy { $0.contains(#""ID":"5","TTL":"60""#) })
            #expect(try await server.openCount() == 0)
        }
    }

    @Test("Every path of etcd's gateway is a call that is served")
    func served() {
        let routes = GatewayRoutes()
        for route in Route.all {
            guard case .call(let found, let method) = routes.find(PageRequest(method: "POST", target: route.path)) else {
                Issue.record("\(route.path) is no call")
                continue
            }
            #expect(found.call == route.call && ServedMethod.all[method.rawValue].method.path == route.call)
        }
    }

    @Test("Paths are cleaned as Go cleans them")
    func cleaning() {
        let cases = [
            ("/", "/"), ("", "/"), ("//", "/"), ("/a//b", "/a/b"), ("/a/./b/", "/a/b/"), ("/a/../b", "/b"), ("/../a", "/a"), ("/a/..", "/"),
            ("/a/../", "/"), ("/.", "/"), ("/a/b/..", "/a"), ("/a/b/../", "/a/"),
        ]
        for (path, clean) in cases { #expect(GatewayRoutes.clean(path) == clean, "\(path)") }
    }
}
