// Owns: the name of a call that may travel to other threads and come back late.

/// A call, as a plain value: who calls, and which of its calls. When the call is over, whatever is done with its id does nothing.
///
/// The top byte is the caller's index: an event loop of the server, or somebody else who calls. The lower seven bytes are the caller's own.
package struct CallID: Hashable, Sendable {
    package let rawValue: UInt64

    @inlinable
    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// Whose call it is.
    @inlinable
    package var caller: Int { Int(truncatingIfNeeded: rawValue >> 56) }
}
