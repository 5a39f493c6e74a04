// Owns: what TLS is told at its start, by files and names, and which combinations make no sense.

/// The protocol versions that may be spoken. Older ones are not to be had.
package enum TLSVersion: String, Sendable, Comparable, CaseIterable {
    case tls12 = "TLS1.2"
    case tls13 = "TLS1.3"

    package static func < (one: TLSVersion, other: TLSVersion) -> Bool { one == .tls12 && other == .tls13 }
}

package struct TLSSettings: Sendable, Equatable {
    /// PEM: the server's certificate, then those that lead to its authority.
    package var certificateFile: String
    /// PEM, without a passphrase.
    package var keyFile: String
    /// PEM: the authorities whose clients are let in. Where it is set every client must show a certificate.
    package var trustedCAFile: String?
    /// Every client must show a certificate. Without `trustedCAFile` it may be of any authority that the system trusts.
    package var requiresClientCertificate = false
    /// PEM or DER: certificates whose serial numbers are in these lists are refused.
    package var revocationListFile: String?
    /// Where there are any, a client's certificate must be for one of these host names or addresses (its SANs; the CN does
    /// not count).
    package var allowedHostnames: [String] = []
    package var minVersion = TLSVersion.tls12
    /// nil for the newest.
    package var maxVersion: TLSVersion?
    /// IANA names, for TLS 1.2, the preferred one first. Empty for ours. TLS 1.3 always has its three.
    package var cipherSuites: [String] = []

    package init(certificateFile: String, keyFile: String) {
        self.certificateFile = certificateFile
        self.keyFile = keyFile
    }

    /// Whether clients must show certificates.
    package var asksForCertificates: Bool { trustedCAFile != nil || requiresClientCertificate }
}

/// Bounds on what handshakes may cost, each for one event loop.
package struct TLSLimits: Sendable {
    /// From the accepted connection to the end of its handshake.
    package var handshakeTimeoutMs: Int64 = 10_000
    /// Connections whose handshake hasn't ended. One more, and the oldest is closed.
    package var handshakesLimit = 1_000
    /// Bytes that a peer may send before its handshake has ended. Chains of certificates are the largest part.
    package var handshakeBytesLimit = 64 << 10
    /// Handshakes are worked on for so long; then the loop serves for as long as that took, before it goes on.
    package var handshakeSliceUs: UInt64 = 2_000
    /// How long a peer that was refused may take to read why.
    package var lingerTimeoutMs: Int64 = 2_000

    package init() {}
}

/// One line for the operator, that says which file or name is wrong and why.
package struct TLSError: Error, Equatable, CustomStringConvertible {
    package let message: String

    package init(_ message: String) { self.message = message }

    package var description: String { message }
}
