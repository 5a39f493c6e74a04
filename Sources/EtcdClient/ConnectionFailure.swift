// Owns: why a server can't be reached, in a few words.
internal import Glibc
internal import NIOCore
internal import NIOPosix

package struct ConnectionFailure: Error, CustomStringConvertible {
    package let description: String

    init(_ error: any Error) { description = Self.reason(error) }

    /// Without the wrappings of an attempt that may have tried several addresses.
    private static func reason(_ error: any Error) -> String {
        if let failure = error as? NIOConnectionError {
            if let name = failure.dnsAError ?? failure.dnsAAAAError, failure.connectionErrors.isEmpty { return "\(name)" }
            if let last = failure.connectionErrors.last { return reason(last.error) }
        }
        if let error = error as? IOError { return String(cString: strerror(error.errnoCode)) }
        return "\(error)"
    }
}
