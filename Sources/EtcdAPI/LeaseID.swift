// Owns: a lease's name.

/// A lease's id, the client's choice or the server's; 0 means no lease.
public struct LeaseID: WireNumber, Comparable {
    public let rawValue: Int64

    @inlinable
    @inline(__always)
    public init(_ rawValue: Int64) { self.rawValue = rawValue }

    /// An id for a client that wants the server to choose.
    public static var random: LeaseID { LeaseID(.random(in: 1...(.max))) }

    @inlinable
    @inline(__always)
    public static func < (a: LeaseID, b: LeaseID) -> Bool { a.rawValue < b.rawValue }
}
