// Owns: a point in the store's history.
// Must never: be made of another number without the caller saying so: `Revision(_:)` is where a bare number becomes one.

/// etcd's revision: the empty store is at 1, each KV transaction that changes something takes the next. In requests, 0 is "not said".
public struct Revision: WireNumber {
    public let rawValue: Int64

    @inlinable
    @inline(__always)
    public init(_ rawValue: Int64) { self.rawValue = rawValue }

    @inlinable public static var max: Revision { Revision(.max) }
}

extension Revision: Strideable {
    @inlinable
    @inline(__always)
    public static func == (a: Revision, b: Revision) -> Bool { a.rawValue == b.rawValue }

    @inlinable
    @inline(__always)
    public static func < (a: Revision, b: Revision) -> Bool { a.rawValue < b.rawValue }

    @inlinable
    @inline(__always)
    public func advanced(by count: Int64) -> Revision { Revision(rawValue + count) }

    @inlinable
    @inline(__always)
    public func distance(to other: Revision) -> Int64 { other.rawValue - rawValue }

    // Not Strideable's own `+` and `-`, which go through `advanced` generically where the compiler doesn't see the type.

    /// The revision `count` transactions later.
    @inlinable
    @inline(__always)
    public static func + (revision: Revision, count: Int64) -> Revision { Revision(revision.rawValue + count) }

    /// The revision `count` transactions earlier.
    @inlinable
    @inline(__always)
    public static func - (revision: Revision, count: Int64) -> Revision { Revision(revision.rawValue - count) }

    @inlinable
    @inline(__always)
    public static func += (revision: inout Revision, count: Int64) { revision = revision + count }
}
