// Owns: what the gateway knows of each message: its fields' names, numbers and types.
// Must never: differ from proto/*.proto, which SchemaTests holds it against.
internal import Bytes

/// A field of a message. A class, so that passing it on costs one reference count.
package final class Field: Sendable {
    package enum Kind: Sendable, Hashable {
        case int64
        case uint64
        case uint32
        case bool
        case bytes
        case string
        /// The names of the numbers from 0 on.
        case enumeration([String])
        /// Another message, by its name.
        case message(String)
    }

    /// As in the .proto file, which is how it is written in answers.
    package let name: String
    package let number: Int
    package let kind: Kind
    package let isRepeated: Bool
    /// The union that it is a member of.
    package let oneof: String?
    /// The other name under which requests may have it.
    package let jsonName: String
    let nameBytes: ByteString
    let jsonNameBytes: ByteString
    /// `"name":`
    let label: ByteString
    /// Where `kind` is a message: its index in `Schema.messages`.
    let target: Int
    /// One bit for each union of the message; 0 outside of unions.
    let oneofBit: UInt64
    /// Whether it is written even where it is zero: as a member of a union, or an element of a list.
    let hasPresence: Bool

    convenience init(_ name: String, _ number: Int, _ kind: Kind, isRepeated: Bool = false, oneof: String? = nil) {
        self.init(name, number, kind, isRepeated: isRepeated, oneof: oneof, target: -1, oneofBit: 0)
    }

    /// The same, linked.
    fileprivate convenience init(_ field: Field, target: Int, oneofBit: UInt64) {
        self.init(
            field.name, field.number, field.kind, isRepeated: field.isRepeated, oneof: field.oneof, target: target, oneofBit: oneofBit)
    }

    private init(_ name: String, _ number: Int, _ kind: Kind, isRepeated: Bool, oneof: String?, target: Int, oneofBit: UInt64) {
        self.target = target
        self.oneofBit = oneofBit
        hasPresence = isRepeated || oneof != nil
        self.name = name
        self.number = number
        self.kind = kind
        self.isRepeated = isRepeated
        self.oneof = oneof
        jsonName = Field.lowerCamelCase(name)
        nameBytes = ByteString(name)
        jsonNameBytes = ByteString(jsonName)
        label = ByteString("\"\(name)\":")
    }

    /// proto3's JSON name: each underscore goes, and the letter behind it becomes a capital.
    private static func lowerCamelCase(_ name: String) -> String {
        var result = ""
        var isAfterUnderscore = false
        for character in name {
            if character == "_" {
                isAfterUnderscore = true
            } else {
                result += isAfterUnderscore ? character.uppercased() : String(character)
                isAfterUnderscore = false
            }
        }
        return result
    }

    /// As protobuf calls the type, for error messages.
    var typeName: String {
        switch kind {
        case .int64: "int64"
        case .uint64: "uint64"
        case .uint32: "uint32"
        case .bool: "bool"
        case .bytes: "bytes"
        case .string: "string"
        case .enumeration: "enum"
        case .message: "message"
        }
    }
}

/// The fields of a message.
package struct Message: Sendable {
    package let name: String
    package let fields: [Field]

    init(_ name: String, _ fields: [Field]) {
        self.name = name
        self.fields = fields
    }
}

/// All messages that the gateway carries.
package enum Schema {
    /// Linked: each field knows where its message is.
    package static let messages: [Message] = linked(
        kvMessages + watchMessages + leaseMessages + maintenanceMessages + authMessages + coordinationMessages)

    private static let indices = Dictionary(uniqueKeysWithValues: messages.enumerated().map { ($1.name, $0) })

    /// Where the message of this name is in `messages`.
    package static func index(of name: String) -> Int? { indices[name] }

    private static func linked(_ messages: [Message]) -> [Message] {
        let indices = Dictionary(uniqueKeysWithValues: messages.enumerated().map { ($1.name, $0) })
        return messages.map { message in
            // `seen` in the transcoders has a bit for each field.
            invariant(message.fields.count <= 64, "\(message.name) has too many fields")
            var oneofs: [String] = []
            return Message(
                message.name,
                message.fields.map { field in
                    var target = -1
                    if case .message(let name) = field.kind {
                        guard let index = indices[name] else { violated("\(message.name) has a field of the unknown message \(name)") }
                        target = index
                    }
                    guard let oneof = field.oneof else { return Field(field, target: target, oneofBit: 0) }
                    if oneofs.last != oneof { oneofs.append(oneof) }
                    return Field(field, target: target, oneofBit: 1 << UInt64(oneofs.count - 1))
                })
        }
    }
}
