// Owns: what simple tokens are signed with. A store draws a new one each time that auth is enabled, and has it in the log (`AuthChange`).
// Must never: show itself, in a log line, an answer or a view.
package import Bytes

package struct TokenSecret: Hashable, Sendable {
    package static let byteCount = 32

    package let bytes: ByteString

    /// nil where there are not as many bytes as there must be.
    package init?(_ bytes: ByteString) {
        guard bytes.count == Self.byteCount else { return nil }
        self.bytes = bytes
    }

    /// A new secret, by the system's generator.
    package static func random() -> TokenSecret {
        TokenSecret(ByteString((0..<byteCount).map { _ in UInt8.random(in: 0...255) }))!
    }

    func sign(_ message: ByteString) -> ByteString { SHA256.authenticationCode(message, key: bytes) }

    /// Takes as long wherever the signatures differ.
    func verify(_ message: ByteString, _ signature: ByteString) -> Bool {
        let right = sign(message)
        guard signature.count == right.count else { return false }
        return zip(signature, right).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }
}

extension TokenSecret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "a secret" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
