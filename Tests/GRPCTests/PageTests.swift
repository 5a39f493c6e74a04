// Tests pages, over HTTP/1.1 and HTTP/2, and what becomes of those who abuse them.
internal import HTTP1
internal import HTTP2
internal import NIOCore
internal import RawHTTP2
internal import TestSupport
internal import Testing

@testable import GRPC

/// Says what it was asked; `/never` has no answer, `/fail` fails.
private func echo(_ request: PageRequest, _ eventLoop: any EventLoop) -> EventLoopFuture<PageResponse> {
    switch request.path {
    case "/never": return eventLoop.makePromise(of: PageResponse.self).futureResult
    case "/fail": return eventLoop.makeFailedFuture(CancellationError())
    case "/large": return eventLoop.makeSucceededFuture(PageResponse(status: 200, body: String(repeating: "x", count: 1 << 20)))
    default:
        let query = request.query.map { "\($0.name)=\($0.value)" }.joined(separator: "&")
        return eventLoop.makeSucceededFuture(PageResponse(status: 200, body: "\(request.method) \(request.path) \(query)\n"))
    }
}

private func withPages(
    _ limits: HTTP1Limits = HTTP1Limits(), configure: (inout HTTP2Configuration) -> Void = { _ in },
    _ body: (_ server: GRPCServer, _ port: Int) async throws -> Void
) async throws {
    func addPages(_ configuration: inout HTTP2Configuration) {
        configuration.http1 = HTTP1Acceptor(limits: limits, pages: echo)
        configure(&configuration)
    }
    try await withEchoServer(configure: addPages) { server, port, _ in try await body(server, port) }
}

@Suite("Pages", .timeLimit(.minutes(2)), .ownThreads)
struct PageTests {
    @Test("A page comes over HTTP/1.1 beside calls over HTTP/2 on one port, and over HTTP/2 as well")
    func onePort() async throws {
        try await withPages { _, port in
            let answer = try HTTPClient.get("/a%20b/c?x=1+2&y&x=%26", port: port)
            #expect(answer.status == 200)
            #expect(answer.body == "GET /a b/c x=1 2&y=&x=&\n")
            #expect(answer.fields["content-type"] == "text/plain; charset=utf-8")
            #expect(answer.fields["connection"] == "close")
            #expect(answer.fields["date"]?.hasSuffix(" GMT") == true)

            let head = try HTTPClient.get("/large", port: port, method: "HEAD")
            #expect(head.status == 200 && head.fields["content-length"] == "1048576")
            #expect(try HTTPClient.get("/large", port: port).body.utf8.count == 1 << 20)
            #expect(try HTTPClient.get("/fail", port: port).status == 500)

            let client = try RawClient(port: port)
            try client.sendPreface()
            func request(_ stream: Int32, _ method: String, _ path: String) throws {
                let fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "x")]
                try client.send(.headers(stream, fields, endStream: true))
            }
            try request(1, "GET", "/h2?q=1")
            let page = try client.response(1)
            #expect(page[":status"] == "200" && String(decoding: page.body, as: UTF8.self) == "GET /h2 q=1\n")
            #expect(page["content-length"] == "12")
            try request(3, "HEAD", "/h2")
            let headOnly = try client.response(3)
            #expect(headOnly[":status"] == "200" && headOnly.body.isEmpty && headOnly["content-length"] == "10")
            // What means to be a call is refused as before.
            try request(5, "POST", "/h2")
            #expect(try client.response(5)[":status"] == "415")
            try client.call(7, "/test.Echo/Unary", [1, 2, 3])
            #expect(try client.response(7)["grpc-status"] == "0")
        }
    }

    @Test("Addresses for pages alone serve no calls")
    func pagesAlone() async throws {
        func addAddress(_ configuration: inout HTTP2Configuration) {
            configuration.http1Addresses = [.tcp(host: "127.0.0.1", port: 0)]
        }
        try await withPages(configure: addAddress) { server, _ in
            let port = try #require(server.boundHTTP1Addresses.first?.port)
            #expect(try HTTPClient.get("/here", port: port).body == "GET /here \n")
            let client = try RawClient(port: port)
            try client.sendPreface()
            // The preface is no request: "PRI * HTTP/2.0".
            let answer = try? client.readFrame()
            #expect(answer == nil || client.isClosed)
        }
    }

    @Test("Requests may follow one another, also before the answers have come, in order")
    func pipelining() async throws {
        try await withPages { _, port in
            let client = try HTTPClient(port: port)
            try client.send((0..<100).map { "GET /\($0) HTTP/1.1\r\nHost: x\r\n\r\n" }.joined())
            for number in 0..<100 { #expect(try client.answer().body == "GET /\(number) \n") }
            // HTTP/1.0 closes after its answer.
            try client.send("GET /last HTTP/1.0\r\n\r\n")
            let last = try client.answer()
            #expect(last.body == "GET /last \n" && last.fields["connection"] == "close")
            #expect(try client.isClosed())
        }
    }

    @Test("A request byte by byte is served, unless it takes too long, as is one that never comes to an end")
    func slowloris() async throws {
        var limits = HTTP1Limits()
        limits.firstRequestTimeoutMs = 700
        limits.idleTimeoutMs = 700
        try await withPages(limits) { server, port in
            let patient = try HTTPClient(port: port)
            for character in "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" { try patient.send(String(character)) }
            #expect(try patient.answer().body == "GET /slow \n")
            // Idle now, and closed for it.
            #expect(try patient.isClosed())

            let loris = try HTTPClient(port: port)
            try loris.send("GET / HTTP/1.1\r\n")
            await #expect(throws: TestSupportError.self) {
                for number in 0..<100_000 {
                    try loris.send("X-\(number): y\r\n")
                    try await Task.sleep(for: .milliseconds(5))
                }
            }
            #expect(server.connectionCounts.opened == 2)
            try await eventually("both being closed") { server.connectionCounts.open == 0 }
        }
    }

    @Test("An answer that doesn't come, or isn't read, ends the connection in the end")
    func stuck() async throws {
        var limits = HTTP1Limits()
        limits.answerTimeoutMs = 500
        try await withPages(limits) { server, port in
            let asker = try HTTPClient(port: port)
            try asker.send("GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try asker.isClosed())
            let deaf = try HTTPClient(port: port)
            for _ in 0..<20 { try deaf.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n") }
            try await eventually("the deaf client being closed") { server.connectionCounts.open == 0 }
        }
    }

    @Test("Large heads, bodies and noise are refused in so many words")
    func abuse() async throws {
        try await withPages { server, port in
            for (request, status) in [
                ("GET / HTTP/1.1\r\nX: \(String(repeating: "a", count: 20_000))\r\n\r\n", 431),
                ("GET / HTTP/1.1\r\n\((0..<1_000).map { "X\($0): y\r\n" }.joined())\r\n", 431),
                ("GET / HTTP/1.1\r\n\((0..<60).map { "X\($0): \(String(repeating: "b", count: 1_000))\r\n" }.joined())\r\n", 431),
                ("GET /\(String(repeating: "a", count: 100_000)) HTTP/1.1\r\n\r\n", 431),
                ("GET / HTTP/9.9\r\n\r\n", 400), ("GET\r\n\r\n", 400), ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
                ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", 413),
                ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
                (
                    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n\(String(repeating: "x", count: 65_537))\r\n",
                    413
                ),
                ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            ] {
                let client = try HTTPClient(port: port)
                try? client.send(request)
                // A peer that is still sending when it is closed may find its answer gone.
                if let answer = try? client.answer() {
                    #expect(answer.status == status, "\(request.prefix(40))")
                    #expect(try client.isClosed())
                } else {
                    #expect(request.utf8.count > 10_000, "no answer to \(request.prefix(40))")
                }
            }
            try await eventually("all being closed") { server.connectionCounts.open == 0 }
            #expect(try HTTPClient.get("/", port: port).status == 200)
        }
    }

    @Test("Bodies are read past: the answer comes at their end, and the connection goes on")
    func bodies() async throws {
        var limits = HTTP1Limits()
        limits.answerTimeoutMs = 500
        try await withPages(limits) { _, port in
            let client = try HTTPClient(port: port)
            for body in [
                "Content-Length: 10\r\n\r\n0123456789", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                "Content-Length: 0\r\n\r\n",
                "Content-Length: 65536\r\n\r\n" + String(repeating: "x", count: 65_536),
            ] {
                try client.send("POST /p HTTP/1.1\r\nHost: x\r\n\(body)")
                let answer = try client.answer()
                #expect(answer.status == 200 && answer.body == "POST /p \n")
            }
            // A body that does not end.
            try client.send("POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234")
            #expect(try client.isClosed())
        }
    }

    @Test("More HTTP/1.1 connections than there may be are told so")
    func tooMany() async throws {
        var limits = HTTP1Limits()
        limits.connectionsLimit = 2
        try await withPages(limits) { _, port in
            let (first, second) = (try HTTPClient(port: port), try HTTPClient(port: port))
            for client in [first, second] {
                try client.send("GET /kept HTTP/1.1\r\nHost: x\r\n\r\n")
                #expect(try client.answer().status == 200)
            }
            #expect(try HTTPClient.get("/", port: port).status == 503)
            try first.send("GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            #expect(try first.answer().status == 200)
            #expect(try first.isClosed())
            try await eventually("room") { try HTTPClient.get("/", port: port).status == 200 }
        }
    }

    @Test("Connections beyond the limit wait, and are accepted as others close, over all addresses")
    func gate() async throws {
        func limit(_ configuration: inout HTTP2Configuration) {
            configuration.connectionsLimit = 3
            configuration.http1Addresses = [.tcp(host: "127.0.0.1", port: 0)]
        }
        try await withPages(configure: limit) { server, port in
            let other = try #require(server.boundHTTP1Addresses.first?.port)
            var held: [HTTPClient] = []
            for number in 0..<3 {
                let client = try HTTPClient(port: number == 0 ? other : port)
                try client.send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
                #expect(try client.answer().status == 200)
                held.append(client)
            }
            // The kernel takes them; nobody serves them. (An accept that was under way lets a few more in than the limit says.)
            var waiting: [HTTPClient] = []
            for number in 0..<20 {
                let client = try HTTPClient(port: number % 2 == 0 ? other : port)
                try client.send("GET /waiting HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                waiting.append(client)
            }
            try await eventually("accepting being held back") { server.connectionCounts.holds > 0 }
            held.removeAll()
            for client in waiting { #expect(try client.answer().body == "GET /waiting \n") }
            #expect(server.connectionCounts.opened == 23)
        }
    }
}
