// Owns: short forms for the tests.
internal import Bytes
internal import Gateway
internal import Testing

/// The wire format of a JSON text.
func wire(_ json: String, _ message: String) throws -> ByteString { try wire(ByteString(json), message) }

func wire(_ json: ByteString, _ message: String) throws -> ByteString {
    let index = try #require(Schema.index(of: message))
    return try #require(try JSONToWire.convert(json, message: index)).message
}

/// The fault of a JSON text that must have one.
func fault(_ json: String, _ message: String) throws -> JSONFault {
    let index = try #require(Schema.index(of: message))
    do throws(JSONFault) {
        _ = try JSONToWire.convert(ByteString(json), message: index)
    } catch {
        return error
    }
    throw NoFault(json: json)
}

struct NoFault: Error {
    var json: String
}

func json(_ wire: ByteString, _ message: String) throws -> String {
    let index = try #require(Schema.index(of: message))
    var writer = ByteWriter()
    try WireToJSON.append(wire, message: index, to: &writer)
    return String(decoding: writer.finish(), as: UTF8.self)
}
