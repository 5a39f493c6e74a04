// Owns: what the client of a call has shown to say who it is.
package import Bytes

/// The same object for all calls that come with the same token on a connection, one after the other. Confined to their event loop.
package final class CallCredentials {
    /// As it came.
    package let token: ByteString?
    /// What whoever serves the calls has found out of it.
    package var finding: AnyObject?

    package init(token: ByteString?) { self.token = token }
}

extension ConnectionState {
    /// What a call has shown that came with `token`.
    mutating func credentials(_ token: UnsafeRawBufferPointer) -> CallCredentials {
        if let last = lastCredentials, let known = last.token, known.withUnsafeBytes({ $0.elementsEqual(token) }) { return last }
        let credentials = CallCredentials(token: ByteString(copying: token))
        lastCredentials = credentials
        return credentials
    }
}
