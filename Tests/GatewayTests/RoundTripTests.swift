// Random messages there and back, and random damage: nothing traps, and what is accepted is a message.
internal import Bytes
internal import EtcdAPI
internal import Foundation
internal import Gateway
internal import Testing

@Suite struct RoundTripTests {
    /// SplitMix64: the same numbers for the same seed, everywhere.
    struct Chance: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
            return z ^ z >> 31
        }

        mutating func isTrue(_ oneIn: Int) -> Bool { Int.random(in: 0..<oneIn, using: &self) == 0 }
    }

    /// A message of the schema, its fields in order and none of them zero but where zero counts.
    static func random(_ index: Int, depth: Int, _ chance: inout Chance) -> [UInt8] {
        var result: [UInt8] = []
        var oneofs: Set<String> = []
        for field in Schema.messages[index].fields.sorted(by: { $0.number < $1.number }) where chance.isTrue(2) {
            if let oneof = field.oneof, !oneofs.insert(oneof).inserted { continue }
            for _ in 0..<(field.isRepeated ? Int.random(in: 1...3, using: &chance) : 1) {
                result += value(field, depth: depth, &chance)
            }
        }
        return result
    }

    private static func varint(_ value: UInt64) -> [UInt8] {
        var writer = ByteWriter()
        writer.appendVarint(value)
        return Array(writer.finish())
    }

    private static func value(_ field: Field, depth: Int, _ chance: inout Chance) -> [UInt8] {
        let mayBeZero = field.isRepeated || field.oneof != nil
        let tag = UInt64(field.number) << 3
        func number(_ value: UInt64) -> [UInt8] { value == 0 && !mayBeZero ? [] : varint(tag) + varint(value) }
        switch field.kind {
        case .int64, .uint64: return number(chance.next() >> UInt64.random(in: 0...64, using: &chance))
        case .uint32: return number(chance.next() >> UInt64.random(in: 32...64, using: &chance))
        case .bool: return number(1)
        case .enumeration(let names):
            let value =
                chance.isTrue(4) ? Int32(truncatingIfNeeded: chance.next()) : Int32.random(in: 0..<Int32(names.count), using: &chance)
            return number(UInt64(bitPattern: Int64(value)))
        case .bytes, .string:
            let count = Int.random(in: (mayBeZero ? 0 : 1)...(chance.isTrue(10) ? 300 : 9), using: &chance)
            let isText = field.kind == .string
            let body = (0..<count).map { _ in
                isText ? UInt8.random(in: 0...0x7F, using: &chance) : UInt8.random(in: 0...255, using: &chance)
            }
            return varint(tag | 2) + varint(UInt64(count)) + body
        case .message(let name):
            guard depth > 0, let target = Schema.index(of: name) else { return [] }
            let body = random(target, depth: depth - 1, &chance)
            return varint(tag | 2) + varint(UInt64(body.count)) + body
        }
    }

    @Test("every message comes back from JSON as it went in, bit for bit")
    func roundTrip() throws {
        var chance = Chance(state: 1)
        for round in 0..<40 {
            for (index, message) in Schema.messages.enumerated() {
                let wanted = ByteString(Self.random(index, depth: 4, &chance))
                let text = try json(wanted, message.name)
                #expect(try wire(text, message.name) == wanted, "\(message.name), round \(round): \(text)")
            }
        }
    }

    @Test("with lowerCamelCase names it is the same")
    func camelCase() throws {
        var chance = Chance(state: 2)
        for message in ["RangeRequest", "TxnRequest", "WatchRequest", "DeleteRangeRequest"] {
            for _ in 0..<20 {
                let wanted = ByteString(Self.random(try #require(Schema.index(of: message)), depth: 4, &chance))
                var text = try json(wanted, message)
                for field in Schema.messages.flatMap(\.fields) {
                    text = text.split(separator: "\"\(field.name)\":", omittingEmptySubsequences: false).joined(
                        separator: "\"\(field.jsonName)\":")
                }
                #expect(try wire(text, message) == wanted)
            }
        }
    }

    @Test("damaged JSON is refused or is a message, and nothing traps")
    func damage() throws {
        var chance = Chance(state: 3)
        var accepted = 0
        let alphabet = Array(#"{}[]",:\u0059ntfe1-+. "#.utf8) + [0, 0x0A, 0x80, 0xC3, 0xFF]
        for _ in 0..<6_000 {
            let index = Int.random(in: 0..<Schema.messages.count, using: &chance)
            let name = Schema.messages[index].name
            var text = Array(try json(ByteString(Self.random(index, depth: 3, &chance)), name).utf8)
            for _ in 0..<Int.random(in: 1...4, using: &chance) {
                let at = Int.random(in: 0..<text.count, using: &chance)
                switch Int.random(in: 0..<4, using: &chance) {
                case 0: text[at] = alphabet.randomElement(using: &chance)!
                case 1: text.insert(alphabet.randomElement(using: &chance)!, at: at)
                case 2: text.insert(contentsOf: text[at...].prefix(Int.random(in: 1...20, using: &chance)), at: at)
                default: if text.count > 1 { text.removeSubrange(at..<min(text.count, at + Int.random(in: 1...8, using: &chance))) }
                }
                if text.isEmpty { text = [0x7B] }
            }
            guard let request = try? JSONToWire.convert(ByteString(text), message: index) else { continue }
            accepted += 1
            #expect(try wire(json(request.message, name), name) == request.message, "\(ByteString(text))")
        }
        #expect(accepted > 100)
    }

    @Test("damaged wire is refused or is JSON, and nothing traps")
    func wireDamage() throws {
        var chance = Chance(state: 4)
        for _ in 0..<6_000 {
            let index = Int.random(in: 0..<Schema.messages.count, using: &chance)
            let name = Schema.messages[index].name
            var bytes = Self.random(index, depth: 3, &chance)
            if bytes.isEmpty { continue }
            for _ in 0..<Int.random(in: 1...3, using: &chance) {
                bytes[Int.random(in: 0..<bytes.count, using: &chance)] = UInt8.random(in: 0...255, using: &chance)
            }
            guard let text = try? json(ByteString(bytes), name) else { continue }
            _ = try wire(text, name)
        }
    }

    @Test("what the fuzzer keeps is converted there and back")
    func corpus() throws {
        let folder = try #require(Bundle.module.resourceURL).appending(path: "Corpus")
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        #expect(files.count >= 5)
        for file in files {
            let input = [UInt8](try Data(contentsOf: file))
            #expect(input.withUnsafeBytes { conversionFailure($0) } == nil, "\(file.lastPathComponent)")
        }
    }
}
