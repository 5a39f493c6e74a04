// Tests who is let in over HTTP.
import HTTP1
import TestSupport
import Testing

@testable import PineServer

@Suite("Access over HTTP", .timeLimit(.minutes(2)), .ownThreads)
struct AccessTests {
    private func request(host: String? = nil, origin: String? = nil, method: String = "POST") -> PageRequest {
        var fields = RequestFields()
        fields.host = host
        fields.origin = origin
        return PageRequest(method: method, target: "/", fields: fields)
    }

    @Test("Hosts that are not on the list are turned away, unless the connection is encrypted")
    func hosts() {
        let rules = AccessRules(hosts: ["pine", "::1"])
        for host in ["pine", "pine:2379", "[::1]:2379"] {
            #expect(rules.answer(to: request(host: host), isSecure: false) == nil, "\(host)")
        }
        for host in ["evil", "pine.evil:2379", "", "pine:1:2"] {
            #expect(rules.answer(to: request(host: host), isSecure: false)?.status == 421, "\(host)")
            #expect(rules.answer(to: request(host: host), isSecure: true) == nil)
        }
        #expect(AccessRules().answer(to: request(host: "evil"), isSecure: false) == nil)
        #expect(AccessRules(hosts: ["pine", "*"]).answer(to: request(host: "evil"), isSecure: false) == nil)
        #expect(AccessRules().answer(to: request(method: "OPTIONS"), isSecure: false)?.status == 200)
    }

    @Test("Sites on the list may read answers")
    func origins() {
        let rules = AccessRules(origins: ["https://a"])
        #expect(rules.fields(for: request(origin: "https://b")).isEmpty && rules.fields(for: request()).isEmpty)
        #expect(rules.fields(for: request(origin: "https://a")).contains(PageResponse.Field("access-control-allow-origin", "https://a")))
        #expect(AccessRules().fields(for: request()).contains(PageResponse.Field("access-control-allow-origin", "*")))
    }

    @Test("The rules hold for calls and pages alike")
    func served() async throws {
        try await JSONServer.with(access: AccessRules(hosts: ["localhost"], origins: ["https://a"])) { server in
            let client = try server.client()
            try client.send("GET /page HTTP/1.1\r\nHost: localhost:1\r\nOrigin: https://a\r\n\r\n")
            #expect(try client.answer().fields["access-control-allow-origin"] == "https://a")
            for target in ["/page", "/v3/kv/range"] {
                try client.send("POST \(target) HTTP/1.1\r\nHost: evil\r\nContent-Length: 2\r\n\r\n{}")
                let refused = try client.answer()
                #expect(refused.status == 421 && refused.body.contains("--host-whitelist \"evil\""))
                #expect(refused.fields["access-control-allow-origin"] == nil)
            }
        }
    }
}
