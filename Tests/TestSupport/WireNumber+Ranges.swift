// Owns: what tests do with ids and revisions and Pine never does: count through them, and draw them.
public import EtcdAPI

extension LeaseID: Strideable {
    public func advanced(by count: Int64) -> LeaseID { LeaseID(rawValue + count) }

    public func distance(to other: LeaseID) -> Int64 { other.rawValue - rawValue }
}

extension Revision {
    package static func random(in range: ClosedRange<Revision>, using generator: inout some RandomNumberGenerator) -> Revision {
        Revision(Int64.random(in: range.lowerBound.rawValue...range.upperBound.rawValue, using: &generator))
    }
}
