// Owns: who makes a call, once what the client showed was believed.
package import Bytes

/// On whose behalf a call is made.
package enum Identity: Hashable, Sendable {
    /// The call has neither token nor certificate.
    case nobody
    /// `revision` is the auth revision that the token vouches for, as a JWT does; nil where it goes with what holds now.
    case user(ByteString, revision: UInt64?)

    /// Empty for nobody.
    package var name: ByteString {
        if case .user(let name, _) = self { name } else { ByteString() }
    }
}
