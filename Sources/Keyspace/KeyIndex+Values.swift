// Owns: which values stay in memory: the clock that gives those up that nobody has read of late, and takes fetched ones in.
// Must never: give up a value that is not committed: the log doesn't have it yet.
// Invariant: once the clock runs, every committed value in memory that is not empty has a place in it. Places may outlive their
// values; a key's record stays in memory as long as one of its places.
package import Bytes

/// Where the clock's hand comes by.
struct CachedValue {
    let record: KeyRecord
    let position: Position
}

/// What a value takes beside its bytes: its storage's header, the allocator's word and rounding, and its place.
private let valueOverheadBytes = 24 + 16 + MemoryLayout<CachedValue>.stride

/// As long as values take less than this, none has a place: most stores never need any.
private let clockStartBytes = 64 << 20

/// Lost places that are never worth a look.
private let lostPlaceLimit = 1_000

extension KeyIndex {
    /// Values in memory, with what they cost, in bytes, as far as the limit counts them.
    private var residentBytes: Int { valueBytes + clock.count * valueOverheadBytes }

    /// A version has come. Called after it is in its place.
    @inline(__always)
    mutating func noteValue(_ record: KeyRecord, _ position: Position, _ byteCount: Int) {
        if clockRuns {
            if byteCount > 0 { clock.append(CachedValue(record: record.retained(), position: position)) }
        } else if valueBytes > min(clockStartBytes, valueByteLimit / 2) {
            startClock()
        }
    }

    /// Gives every value its place, in the order of keys: nobody knows which are old.
    private mutating func startClock() {
        guard valueByteLimit < .max else { return }
        clockRuns = true
        var places: [CachedValue] = []
        tree.walk(from: ByteString(), to: nil) { record in
            if let older = record.older {
                for index in 0..<older.count where older.version(index).pointee.residentLength > 0 {
                    places.append(CachedValue(record: record.retained(), position: older.version(index).pointee.position))
                }
            }
            if record.newest.pointee.residentLength > 0 {
                places.append(CachedValue(record: record.retained(), position: record.newest.pointee.position))
            }
            return true
        }
        for place in places { clock.append(place) }
    }

    /// Gives values up where they take more than they may. Called when versions have become committed.
    @inline(__always)
    mutating func makeRoom() {
        if clockRuns, residentBytes > valueByteLimit { evict() }
    }

    /// Moves the hand on until there is room: who was read since it came by last stays for another round.
    private mutating func evict() {
        var visits = clock.count * 2
        while residentBytes > valueByteLimit, visits > 0, let place = clock.first {
            visits -= 1
            clock.removeFirst()
            guard let version = value(at: place) else {
                place.record.release()
                continue
            }
            if version.pointee.wasRead || place.position > committed {
                version.pointee.wasRead = false
                clock.append(place)
                continue
            }
            valueBytes -= version.pointee.residentLength
            version.pointee.drop()
            evictions += 1
            place.record.release()
        }
    }

    /// The version that has the place, where its value is still in memory.
    @inline(__always)
    private func value(at place: CachedValue) -> UnsafeMutablePointer<KeyVersion>? {
        guard !place.record.isDestroyed, let version = place.record.version(at: place.position),
            version.pointee.position == place.position, version.pointee.hasValue
        else { return nil }
        return version
    }

    /// Moves the hand on over a few places, giving up no value: called for each version that compaction drops, whose place is somewhere.
    /// Without that the places of a store with room for all its values would grow for as long as it is written to.
    ///
    /// With a third of all places lost, three visits find one on average: that many may be lost before any is looked for.
    mutating func forgetLostPlaces() {
        var visits = 4
        while visits > 0, clock.count > versionCount + versionCount / 2 + lostPlaceLimit, let place = clock.first {
            visits -= 1
            clock.removeFirst()
            if value(at: place) != nil { clock.append(place) } else { place.record.release() }
        }
    }

    /// Takes in a value that was fetched from the log, if its version is still there and lacks it.
    package mutating func admit(_ value: ByteString, of missing: MissingValue) {
        guard clockRuns, let record = tree.find(missing.key), let version = record.version(at: missing.position),
            version.pointee.position == missing.position, !version.pointee.hasValue, Int(version.pointee.valueLength) == value.count
        else { return }
        version.pointee.keep(value.compacted())
        valueBytes += value.count
        noteValue(record, missing.position, value.count)
        makeRoom()
    }

    /// Keeps the checksum of a value that was fetched from the log, and stays there.
    package mutating func noteChecksum(of value: ByteString, of missing: MissingValue) {
        guard let version = tree.find(missing.key)?.version(at: missing.position), version.pointee.position == missing.position,
            Int(version.pointee.valueLength) == value.count
        else { return }
        version.pointee.note(checksum: CRC32C(value))
    }

    /// Values that the clock keeps places for.
    package var placeCount: Int { clock.count }

    /// Ends the clock, with the index.
    func releasePlaces() {
        clock.visit { place in
            place.record.release()
            return true
        }
    }
}
