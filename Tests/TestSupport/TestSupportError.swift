// Owns: the one error of this room. Must never: hide what a server or a tool printed.

/// Why a test's surroundings could not be set up. Thrown out of a test it fails it, with `message` as the line to read.
package struct TestSupportError: Error, CustomStringConvertible {
    package let message: String

    package init(_ message: String) { self.message = message }

    package var description: String { message }
}
