// Checks the schema and the routes against proto/*.proto, so that neither can change alone.
internal import Gateway
internal import TestSupport
internal import Testing

@Suite(.ownThreads)
struct SchemaTests {
    let proto: ProtoFile

    /// Messages that the gateway never carries: two of the store's records, and a call that has no path.
    static let uncarried: Set = ["User", "Role", "RangeStreamResponse"]

    init() throws {
        proto = try ProtoFile.all(["kv.proto", "auth.proto", "rpc.proto", "lock.proto", "election.proto"])
    }

    @Test("the files and the schema have the same messages")
    func messages() {
        #expect(Set(proto.messages.keys).subtracting(Self.uncarried) == Set(Schema.messages.map(\.name)))
        #expect(Set(Schema.messages.map(\.name)).count == Schema.messages.count)
    }

    @Test("each message has the files' fields in their order, with their numbers, types and unions")
    func fields() throws {
        for message in Schema.messages {
            let wanted = try #require(proto.messages[message.name])
            #expect(message.fields.map(\.name) == wanted.map(\.name), "\(message.name)")
            for (field, want) in zip(message.fields, wanted) {
                let place = "\(message.name).\(field.name)"
                #expect(field.number == want.number, "\(place)")
                #expect(field.isRepeated == want.isRepeated, "\(place)")
                #expect(field.oneof == want.oneof, "\(place)")
                #expect(field.kind == (try kind(want, in: message.name)), "\(place)")
            }
        }
    }

    private func kind(_ field: ProtoFile.Field, in message: String) throws -> Field.Kind {
        switch field.type {
        case "int64": return .int64
        case "uint64": return .uint64
        case "uint32": return .uint32
        case "bool": return .bool
        case "bytes": return .bytes
        case "string": return .string
        default:
            if let numbers = proto.enums["\(message).\(field.type)"] ?? proto.enums[field.type] {
                let names = numbers.sorted { $0.value < $1.value }
                #expect(names.map(\.value) == Array(0..<names.count), "\(field.type)")
                return .enumeration(names.map(\.key))
            }
            return .message(String(field.type.split(separator: ".").last!))
        }
    }

    @Test("a field's other name is proto3's JSON name")
    func jsonNames() {
        let names = Dictionary(
            Schema.messages.flatMap { $0.fields.map { ($0.name, $0.jsonName) } }, uniquingKeysWith: { first, _ in first })
        #expect(names["create_revision"] == "createRevision")
        #expect(names["request_delete_range"] == "requestDeleteRange")
        #expect(names["no_password"] == "noPassword")
        for name in ["TTL", "ID", "grantedTTL", "peerURLs", "memberID", "key"] { #expect(names[name] == name) }
    }

    @Test("each route is a call of the files, or of a service that they do not have yet, and each call has a route")
    func routes() throws {
        let calls = Dictionary(uniqueKeysWithValues: proto.calls.map { ($0.path, $0) })
        for route in Route.all {
            guard let call = calls[route.call] else {
                #expect(route.call.hasPrefix("/etcdserverpb.Auth/"), "\(route.call)")
                continue
            }
            #expect(Schema.messages[route.request].name == call.request)
            #expect(Schema.messages[route.answer].name == call.answer)
            #expect(route.requestStreams == call.requestStreams && route.answerStreams == call.answerStreams, "\(route.call)")
        }
        #expect(Set(proto.calls.map(\.path)).subtracting(Route.all.map(\.call)) == ["/etcdserverpb.KV/RangeStream"])
        #expect(Route.all.filter { $0.call.hasPrefix("/etcdserverpb.Auth/") }.count == 17)
    }

    @Test("paths are found as etcd finds them")
    func paths() {
        #expect(Route.find("/v3/kv/range")?.call == "/etcdserverpb.KV/Range")
        #expect(Route.find("/v3beta/kv/range")?.call == "/etcdserverpb.KV/Range")
        #expect(Route.find("/v3/kv/lease/timetolive")?.call == "/etcdserverpb.Lease/LeaseTimeToLive")
        #expect(Route.find("/v3/lease/keepalive")?.answerStreams == true)
        for path in [
            "", "/", "/v3", "/v3/", "/v3/kv", "/v3/kv/range/", "/v3/kv/Range", "/v3alpha/kv/range", "/v3beta/", "/v3/kv/lease/grant",
        ] {
            #expect(Route.find(path) == nil, "\(path)")
        }
    }
}
