// Owns: a revision in `pine status --json`: a number.
public import EtcdAPI

extension Revision: Encodable {
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }
}
