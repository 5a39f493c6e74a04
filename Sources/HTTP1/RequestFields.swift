// Owns: the header fields of a request that somebody looks at.

package struct RequestFields: Sendable, Hashable {
    package var host: String?
    package var origin: String?
    package var authorization: String?
    /// The call's own field `token`, which is stronger.
    package var token: String?
    package var methodOverride: String?
    package var expectsContinue = false
    /// Whether the call that is asked for would rather fail than be served by a member without a leader.
    package var wantsLeader = false

    package init() {}

    /// A field of the request. The name may have capitals.
    package mutating func add(_ name: String, _ value: String) {
        // Most requests have some ten fields of which one is wanted: length first.
        switch name.utf8.count {
        case 4 where RequestFields.isEqual(name, "host"): host = value
        case 6 where RequestFields.isEqual(name, "origin"): origin = value
        case 6 where RequestFields.isEqual(name, "expect"): expectsContinue = value.lowercased() == "100-continue"
        case 13 where RequestFields.isEqual(name, "authorization"): authorization = value
        case 22 where RequestFields.isEqual(name, "x-http-method-override"): methodOverride = value
        // What begins so goes on to the call, which has it without that.
        case 19 where RequestFields.isEqual(name, "grpc-metadata-token"): token = value
        case 23 where RequestFields.isEqual(name, "grpc-metadata-hasleader"): wantsLeader = value == "true"
        default: break
        }
    }

    /// `known` is in small letters, and as long as `name`.
    private static func isEqual(_ name: String, _ known: StaticString) -> Bool {
        var index = 0
        for byte in name.utf8 {
            let isCapital = (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
            if (isCapital ? byte | 0x20 : byte) != known.utf8Start[index] { return false }
            index += 1
        }
        return true
    }
}
