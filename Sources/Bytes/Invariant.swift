// Owns: how Pine stops when it finds a bug of its own. Never for what a peer, an operator or a server did.
internal import Glibc

/// Traps with `message` where `condition` is false, in release builds too. (`precondition` drops its message there.)
@inlinable
@inline(__always)
public func invariant(
    _ condition: @autoclosure () -> Bool, _ message: @autoclosure () -> String, file: StaticString = #fileID, line: UInt = #line
) {
    if !condition() { violated(message(), file: file, line: line) }
}

/// Traps with `message`: a place that can't be reached was.
public func violated(_ message: String, file: StaticString = #fileID, line: UInt = #line) -> Never {
    // Straight to the descriptor: no logger may be in the way of the last words.
    let text = "pine: invariant violated at \(file):\(line): \(message)\n"
    _ = text.withCString { write(2, $0, strlen($0)) }
    abort()
}
