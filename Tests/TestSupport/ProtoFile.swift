// Owns: a reader of as much of the protobuf language as proto/*.proto use. Never for anything but the tests.
internal import Foundation

/// What a .proto file declares. Names of nested enums are dotted.
package struct ProtoFile {
    package struct Field: Hashable {
        package var name: String
        package var number: Int
        /// As written: `int64`, `mvccpb.KeyValue`.
        package var type: String
        package var isRepeated: Bool
        package var oneof: String?
    }

    package struct Call: Hashable {
        package var path: String
        package var request: String
        package var answer: String
        package var requestStreams: Bool
        package var answerStreams: Bool
    }

    package var messages: [String: [Field]] = [:]
    package var enums: [String: [String: Int]] = [:]
    package var calls: [Call] = []

    /// Reads files of this repository's proto folder: those that the codec knows, if not told otherwise.
    package static func all(
        _ names: [String] = ["kv.proto", "auth.proto", "rpc.proto", "lock.proto", "election.proto", "health.proto"]
    ) throws -> ProtoFile {
        let folder = URL(filePath: TestEnvironment.packageRoot).appending(path: "proto")
        var merged = ProtoFile()
        for name in names {
            let file = try ProtoFile(String(contentsOf: folder.appending(path: name), encoding: .utf8))
            merged.messages.merge(file.messages) { _, new in new }
            merged.enums.merge(file.enums) { _, new in new }
            merged.calls += file.calls
        }
        return merged
    }

    package struct Unexpected: Error {
        package var token: String
    }

    package init() {}

    private init(_ text: String) throws {
        let code = text.split(separator: "\n").map { $0.prefix(upTo: $0.firstRange(of: "//")?.lowerBound ?? $0.endIndex) }
        let matches = code.joined(separator: "\n").matches(of: /[A-Za-z_][\w.]*|\d+|"[^"]*"|[{}();=]/)
        var tokens = matches.map { String($0.output) }[...]

        func next() throws -> String {
            guard let token = tokens.popFirst() else { throw Unexpected(token: "the end") }
            return token
        }
        func expect(_ wanted: String) throws {
            let token = try next()
            if token != wanted { throw Unexpected(token: token) }
        }
        func readEnum(_ prefix: String) throws {
            let name = prefix + (try next())
            try expect("{")
            enums[name] = [:]
            while tokens.first != "}" {
                let value = try next()
                try expect("=")
                enums[name]![value] = Int(try next())
                try expect(";")
            }
            try expect("}")
        }
        func readField(_ message: String, _ oneof: String?) throws {
            var type = try next()
            let isRepeated = type == "repeated"
            if isRepeated { type = try next() }
            let name = try next()
            try expect("=")
            guard let number = Int(try next()) else { throw Unexpected(token: name) }
            try expect(";")
            messages[message]!.append(Field(name: name, number: number, type: type, isRepeated: isRepeated, oneof: oneof))
        }
        func readMessage() throws {
            let message = try next()
            messages[message] = []
            try expect("{")
            while tokens.first != "}" {
                if tokens.first == "enum" {
                    try expect("enum")
                    try readEnum(message + ".")
                } else if tokens.first == "oneof" {
                    try expect("oneof")
                    let oneof = try next()
                    try expect("{")
                    while tokens.first != "}" { try readField(message, oneof) }
                    try expect("}")
                } else {
                    try readField(message, nil)
                }
            }
            try expect("}")
        }
        func readSide() throws -> (String, Bool) {
            try expect("(")
            let first = try next()
            let type = first == "stream" ? try next() : first
            try expect(")")
            return (type, first == "stream")
        }
        var package = ""
        while let token = tokens.popFirst() {
            switch token {
            case "syntax":
                try expect("=")
                try expect("\"proto3\"")
                try expect(";")
            case "package":
                package = try next()
                try expect(";")
            case "import":
                _ = try next()
                try expect(";")
            case "enum": try readEnum("")
            case "message": try readMessage()
            case "service":
                let service = try next()
                try expect("{")
                while tokens.first != "}" {
                    try expect("rpc")
                    let name = try next()
                    let (request, requestStreams) = try readSide()
                    try expect("returns")
                    let (answer, answerStreams) = try readSide()
                    try expect(";")
                    calls.append(
                        Call(
                            path: "/\(package).\(service)/\(name)", request: request, answer: answer,
                            requestStreams: requestStreams,
                            answerStreams: answerStreams))
                }
                try expect("}")
            default: throw Unexpected(token: token)
            }
        }
    }
}
