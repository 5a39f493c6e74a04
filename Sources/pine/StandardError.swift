// Owns: what the commands tell people beside their output. Must never: end a command because nobody listens.
import Foundation

/// Writes to standard error. Where that is a pipe that nobody reads any more there is nobody left to tell, and the command goes on:
/// `FileHandle.write(_:)` would trap.
func tell(_ text: String) { try? FileHandle.standardError.write(contentsOf: Data(text.utf8)) }
