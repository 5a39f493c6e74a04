// Owns: which of a server's methods a call is of.

/// A method's place among those that a server offers.
package struct MethodIndex: Hashable, Sendable {
    package let rawValue: Int

    @inlinable
    package init(rawValue: Int) {
        self.rawValue = rawValue
    }
}
