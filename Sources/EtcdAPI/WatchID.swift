// Owns: a watcher's name on its stream.

/// A watcher's id, the client's choice or the server's: unique on its stream only.
public struct WatchID: WireNumber, Comparable {
    public let rawValue: Int64

    @inlinable
    @inline(__always)
    public init(_ rawValue: Int64) { self.rawValue = rawValue }

    @inlinable
    @inline(__always)
    public static func < (a: WatchID, b: WatchID) -> Bool { a.rawValue < b.rawValue }

    /// The id that a server gives after this one.
    @inlinable public var next: WatchID { WatchID(rawValue + 1) }
}
