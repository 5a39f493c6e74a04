// Owns: what can go wrong with the private PostgreSQL, said to an operator.
// Must never: take more than one line, or leave open what to do about it.

/// Why the private PostgreSQL can't be had. `message` is one line that says what to do.
package struct EmbeddedPostgresError: Error, Equatable, CustomStringConvertible {
    package enum Kind: Sendable {
        /// No usable PostgreSQL 13 or newer is installed.
        case binariesMissing
        /// The cluster was made by another major version than those installed.
        case otherVersion
        /// A folder can't be made, entered, read or written.
        case folderUnusable
        /// Another Pine uses the same data directory.
        case inUse
        /// PostgreSQL or one of its tools failed.
        case startFailed
    }

    package let kind: Kind
    package let message: String

    init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    package var description: String { message }
}
