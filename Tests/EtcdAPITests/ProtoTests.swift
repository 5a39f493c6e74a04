// Checks the codec against proto/*.proto, so that neither can change alone: names, numbers, types, unions, enums, calls.
internal import Bytes
internal import EtcdAPI
internal import TestSupport
internal import Testing

@Suite(.ownThreads)
struct ProtoTests {
    let proto: ProtoFile

    init() throws {
        proto = try ProtoFile.all()
    }

    private func type(_ name: String) throws -> any WireMessage.Type {
        try #require(allMessages.first { "\($0)" == name.split(separator: ".").last! }, "no message struct \(name)")
    }

    @Test("the files and the codec know the same messages")
    func messages() {
        #expect(Set(proto.messages.keys) == Set(allMessages.map { "\($0)" }))
        #expect(allMessages.count == proto.messages.count)
    }

    @Test("each field by itself, set to a value that only its type can hold, round trips under its name")
    func fields() throws {
        for (message, fields) in proto.messages {
            let type = try type(message)
            for field in fields {
                let body = try marker(field, in: message)
                let bytes = body + (field.isRepeated && !isPacked(field, in: message) ? body : [])
                try type.expectOnlyField(swiftName(field), type: swiftType(field, in: message), in: ByteString(bytes))
                if field.type == "string" {
                    let notText = RawWire().data(UInt64(field.number), [0xFF]).byteString
                    #expect(throws: DecodeError.invalidUTF8, "\(message).\(field.name)") { try type.reencoded(notText) }
                }
            }
        }
    }

    @Test("a field that the files do not know is unknown to the codec too")
    func nothingElse() throws {
        let candidates = Array(1...300) + [1_000, 2_047, 2_048, 1 << 29 - 1]
        for (message, fields) in proto.messages {
            let type = try type(message)
            let known = Set(fields.map(\.number))
            for number in candidates where !known.contains(number) {
                let field = UInt64(number)
                for wire in [
                    RawWire().number(field, 1), RawWire().data(field, [0x31]), RawWire().fixed64(field), RawWire().fixed32(field),
                ] {
                    #expect(try type.reencoded(wire.byteString).isEmpty, "\(message) has a field \(number)")
                }
            }
            // Nor may a known field be read in another wire type, but for lists of enums.
            for field in fields {
                let isNumber = try marker(field, in: message)[0] & 7 == 0
                let other = RawWire()
                let number = UInt64(field.number)
                let wires = [
                    isNumber ? other.data(number, [0x31]) : other.number(number, 1), other.fixed64(number), other.fixed32(number),
                ]
                for wire in wires where !isPacked(field, in: message) {
                    #expect(try type.reencoded(wire.byteString).isEmpty, "\(message).\(field.name)")
                }
            }
        }
    }

    @Test("structs have no fields but those of the files, in their order")
    func structFields() throws {
        for (message, fields) in proto.messages {
            var names: [String] = []
            for field in fields {
                let name = field.oneof.map(camelCase) ?? swiftName(field)
                if names.last != name { names.append(name) }
            }
            let mirror = Mirror(reflecting: try type(message).init())
            if mirror.displayStyle == .struct { #expect(mirror.children.map(\.label!) == names, "\(message)") }
        }
    }

    @Test("fields are written in the order of their numbers")
    func order() throws {
        for (message, fields) in proto.messages {
            // Of a union only one member can be set.
            var oneofs: Set<String> = []
            let chosen = fields.filter { $0.oneof.map { oneofs.insert($0).inserted } ?? true }.sorted { $0.number < $1.number }
            let ascending = try chosen.flatMap { try marker($0, in: message) }
            let descending = try chosen.reversed().flatMap { try marker($0, in: message) }
            #expect(try type(message).reencoded(ByteString(descending)) == ByteString(ascending), "\(message)")
        }
    }

    @Test("enum numbers have the same names")
    func enums() {
        let swift: [String: [String: Int32]] = [
            "Event.EventType": ["PUT": Event.EventType.put.rawValue, "DELETE": Event.EventType.delete.rawValue],
            "RangeRequest.SortOrder": [
                "NONE": RangeRequest.SortOrder.none.rawValue, "ASCEND": RangeRequest.SortOrder.ascend.rawValue,
                "DESCEND": RangeRequest.SortOrder.descend.rawValue,
            ],
            "RangeRequest.SortTarget": [
                "KEY": RangeRequest.SortTarget.key.rawValue, "VERSION": RangeRequest.SortTarget.version.rawValue,
                "CREATE": RangeRequest.SortTarget.create.rawValue, "MOD": RangeRequest.SortTarget.mod.rawValue,
                "VALUE": RangeRequest.SortTarget.value.rawValue,
            ],
            "Compare.CompareResult": [
                "EQUAL": Compare.CompareResult.equal.rawValue, "GREATER": Compare.CompareResult.greater.rawValue,
                "LESS": Compare.CompareResult.less.rawValue, "NOT_EQUAL": Compare.CompareResult.notEqual.rawValue,
            ],
            "Compare.CompareTarget": [
                "VERSION": Compare.CompareTarget.version.rawValue, "CREATE": Compare.CompareTarget.create.rawValue,
                "MOD": Compare.CompareTarget.mod.rawValue, "VALUE": Compare.CompareTarget.value.rawValue,
                "LEASE": Compare.CompareTarget.lease.rawValue,
            ],
            "WatchCreateRequest.FilterType": [
                "NOPUT": WatchCreateRequest.FilterType.noPut.rawValue,
                "NODELETE": WatchCreateRequest.FilterType.noDelete.rawValue,
            ],
            "AlarmType": [
                "NONE": AlarmType.none.rawValue, "NOSPACE": AlarmType.noSpace.rawValue, "CORRUPT": AlarmType.corrupt.rawValue,
            ],
            "AlarmRequest.AlarmAction": [
                "GET": AlarmRequest.AlarmAction.get.rawValue, "ACTIVATE": AlarmRequest.AlarmAction.activate.rawValue,
                "DEACTIVATE": AlarmRequest.AlarmAction.deactivate.rawValue,
            ],
            "Permission.PermissionType": [
                "READ": Permission.PermissionType.read.rawValue, "WRITE": Permission.PermissionType.write.rawValue,
                "READWRITE": Permission.PermissionType.readWrite.rawValue,
            ],
            "HealthCheckResponse.ServingStatus": [
                "UNKNOWN": HealthCheckResponse.ServingStatus.unknown.rawValue,
                "SERVING": HealthCheckResponse.ServingStatus.serving.rawValue,
                "NOT_SERVING": HealthCheckResponse.ServingStatus.notServing.rawValue,
                "SERVICE_UNKNOWN": HealthCheckResponse.ServingStatus.serviceUnknown.rawValue,
            ],
            "DowngradeRequest.DowngradeAction": [
                "VALIDATE": DowngradeRequest.DowngradeAction.validate.rawValue,
                "ENABLE": DowngradeRequest.DowngradeAction.enable.rawValue,
                "CANCEL": DowngradeRequest.DowngradeAction.cancel.rawValue,
            ],
        ]
        #expect(swift == proto.enums.mapValues { $0.mapValues(Int32.init) })
    }

    @Test("calls have the same paths and stream on the same sides")
    func calls() throws {
        #expect(Set(proto.calls.map(\.path)) == Set(EtcdMethod.allCases.map(\.path)))
        for call in proto.calls {
            let method = try #require(EtcdMethod(path: ByteString(call.path)))
            #expect(method.path == call.path)
            switch method.kind {
            case .unary: #expect(!call.requestStreams && !call.answerStreams, "\(method)")
            case .serverStreaming: #expect(!call.requestStreams && call.answerStreams, "\(method)")
            case .bidirectional: #expect(call.requestStreams && call.answerStreams, "\(method)")
            }
            #expect(proto.messages[call.request] != nil && proto.messages[call.answer] != nil)
        }
    }

    // MARK: What a field of the files is in Swift

    private func isEnum(_ field: ProtoFile.Field, in message: String) -> Bool {
        proto.enums["\(message).\(field.type)"] ?? proto.enums[field.type] != nil
    }

    private func isPacked(_ field: ProtoFile.Field, in message: String) -> Bool { field.isRepeated && isEnum(field, in: message) }

    /// The field set to a value that narrower types, or types of another meaning, would not give back.
    private func marker(_ field: ProtoFile.Field, in message: String) throws -> [UInt8] {
        let number = UInt64(field.number)
        switch field.type {
        case "int64", "uint64": return RawWire().number(number, 1 << 63 | 5).bytes
        case "uint32": return RawWire().number(number, 0xFFFF_FFFF).bytes
        case "bool": return RawWire().number(number, 1).bytes
        case "bytes": return RawWire().data(number, [0xFF, 0x00]).bytes
        case "string": return RawWire().text(number, "é").bytes
        default:
            if isPacked(field, in: message) { return RawWire().data(number, [0x06, 0x07]).bytes }
            if isEnum(field, in: message) { return RawWire().number(number, 7).bytes }
            // The sub-message has its own first field set, or is empty where it has none.
            let name = String(field.type.split(separator: ".").last!)
            let inner = try #require(proto.messages[name], "\(field.type)").first {
                $0.type.first!.isLowercase && !$0.type.contains(".")
            }
            return RawWire().data(number, try inner.map { try marker($0, in: name) } ?? []).bytes
        }
    }

    private func camelCase(_ name: String) -> String {
        if name == "TTL" || name == "ID" { return name.lowercased() }
        let words = name.split(separator: "_")
        let capitals = ["id": "ID", "kv": "KV", "kvs": "KVs"]
        return words.dropFirst().reduce(String(words[0])) {
            $0 + (capitals[String($1)] ?? $1.prefix(1).uppercased() + $1.dropFirst())
        }
    }

    /// The property, or for a union that is an enum by itself the case without `request` or `response`.
    private func swiftName(_ field: ProtoFile.Field) -> String {
        guard field.oneof != nil else { return camelCase(field.name) }
        return camelCase(field.name.split(separator: "_").filter { $0 != "request" && $0 != "response" }.joined(separator: "_"))
    }

    private func swiftType(_ field: ProtoFile.Field, in message: String) -> String {
        let scalars = [
            "int64": "Int64", "uint64": "UInt64", "uint32": "UInt32", "bool": "Bool", "bytes": "ByteString",
            "string": "ByteString",
        ]
        let name = id(field, in: message) ?? scalars[field.type] ?? String(field.type.split(separator: ".").last!)
        if field.isRepeated { return "Array<\(name)>" }
        return scalars[field.type] != nil || isEnum(field, in: message) || field.oneof != nil ? name : "Optional<\(name)>"
    }

    /// The type of an int64 that is a revision or an id, by its name.
    private func id(_ field: ProtoFile.Field, in message: String) -> String? {
        guard field.type == "int64" else { return nil }
        switch field.name {
        case "rev": return "Revision"
        case _ where field.name.hasSuffix("revision"): return "Revision"
        case "watch_id": return "WatchID"
        case "lease": return "LeaseID"
        case "ID": return message.split(separator: ".").last!.hasPrefix("Lease") ? "LeaseID" : nil
        default: return nil
        }
    }
}

extension WireMessage {
    /// Expects that `bytes` come back as they are, and that in between they are just the property or the case of this name.
    static func expectOnlyField(_ name: String, type: String, in bytes: ByteString) throws {
        let message = try decode(bytes)
        #expect(message.encoded() == bytes, "\(self).\(name)")
        let mirror = Mirror(reflecting: message)
        if mirror.displayStyle == .enum {
            #expect(mirror.children.map { $0.label! } == [name], "\(self).\(name)")
            #expect(mirror.children.map { "\(Swift.type(of: $0.value))" } == [type], "\(self).\(name)")
            return
        }
        let empty = Mirror(reflecting: Self())
        for (child, before) in zip(mirror.children, empty.children) where "\(child.value)" != "\(before.value)" {
            let inner = Mirror(reflecting: child.value)
            if inner.displayStyle == .enum && child.label! != name {
                // A union inside of a struct: its case carries the name.
                #expect(inner.children.map { $0.label! } == [name], "\(self).\(name)")
                #expect(inner.children.map { "\(Swift.type(of: $0.value))" } == [type], "\(self).\(name)")
            } else {
                #expect(child.label! == name, "\(self).\(name)")
                #expect("\(Swift.type(of: child.value))" == type, "\(self).\(name)")
            }
        }
        #expect(message != Self(), "\(self).\(name)")
    }
}
