// Owns: int64 fields with a type of their own, so that a lease's id does not pass for a revision.
// Invariant: a number is its raw value and nothing else: same size, same order, same hash, same text.
// Public, with Revision, LeaseID and WatchID: the compiler specialises and inlines a protocol's inlinable members in other targets only
// where they are public. With `package` they cost a put 400 instructions.

/// A number of the API that is an int64 on the wire.
public protocol WireNumber: Hashable, Sendable, ExpressibleByIntegerLiteral, CustomStringConvertible {
    init(_ rawValue: Int64)

    var rawValue: Int64 { get }
}

extension WireNumber {
    @inlinable
    @inline(__always)
    public static func == (a: Self, b: Self) -> Bool { a.rawValue == b.rawValue }

    @inlinable
    @inline(__always)
    public func hash(into hasher: inout Hasher) { hasher.combine(rawValue) }

    @inlinable
    @inline(__always)
    public init(integerLiteral value: Int64) { self.init(value) }

    @inlinable
    @inline(__always)
    public init(_ number: Int) { self.init(Int64(number)) }

    /// The decimal number.
    public var description: String { rawValue.description }
}
