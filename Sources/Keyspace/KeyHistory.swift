// Owns: the layout of a key's older versions, in one allocation: a header and an array with room at both ends.
// Must never: be empty. A key without older versions has no history at all; most keys have none.
// Invariants: versions ascend by position; first + count <= capacity.
internal import Bytes

/// A handle on manually owned memory: whoever takes the handle out of its entry frees it. Handles don't outlive the tree.
struct KeyHistory {
    private struct Header {
        var first: Int32
        var count: Int32
        var capacity: Int32
    }

    private static var headerBytes: Int { 16 }

    private let raw: UnsafeMutableRawPointer

    private var header: UnsafeMutablePointer<Header> { raw.assumingMemoryBound(to: Header.self) }

    private var versions: UnsafeMutablePointer<KeyVersion> {
        (raw + Self.headerBytes).assumingMemoryBound(to: KeyVersion.self) + Int(header.pointee.first)
    }

    private init(capacity: Int) {
        raw = .allocate(byteCount: Self.headerBytes + capacity * MemoryLayout<KeyVersion>.stride, alignment: 16)
        raw.initializeMemory(as: Header.self, to: Header(first: 0, count: 0, capacity: Int32(capacity)))
    }

    /// A history of one version.
    init(_ version: consuming KeyVersion) {
        self.init(capacity: 1)
        versions.initialize(to: version)
        header.pointee.count = 1
    }

    var count: Int { Int(header.pointee.count) }

    var allocatedBytes: Int { Self.headerBytes + Int(header.pointee.capacity) * MemoryLayout<KeyVersion>.stride }

    /// The version at `index`, 0 being the oldest. The pointer is good until the history changes.
    func version(_ index: Int) -> UnsafeMutablePointer<KeyVersion> { versions + index }

    /// The newest version at or before `bound`.
    func newest(at bound: Position) -> UnsafeMutablePointer<KeyVersion>? {
        let versions = self.versions
        let newer = (0..<count).partitioningIndex { versions[$0].position > bound }
        return newer == 0 ? nil : versions + (newer - 1)
    }

    /// Adds a version newer than all; gives back the handle to keep.
    func appending(_ version: consuming KeyVersion) -> KeyHistory {
        var target = self
        let used = header.pointee
        if used.first + used.count == used.capacity {
            if used.first > 0 && used.first * 2 >= used.capacity {
                let start = versions - Int(used.first)
                start.moveInitialize(from: versions, count: count)
                header.pointee.first = 0
            } else {
                target = moved(capacity: count + (count + 1) / 2)
            }
        }
        (target.versions + target.count).initialize(to: version)
        target.header.pointee.count += 1
        return target
    }

    /// Takes out the newest version and puts it in the place of `replaced`; nil where none is left.
    func movingNewest(to replaced: UnsafeMutablePointer<KeyVersion>) -> KeyHistory? {
        replaced.deinitialize(count: 1)
        replaced.moveInitialize(from: versions + (count - 1), count: 1)
        header.pointee.count -= 1
        return keptOrFreed()
    }

    /// Drops the oldest version; nil where none is left.
    func droppingOldest() -> KeyHistory? {
        versions.deinitialize(count: 1)
        header.pointee.count -= 1
        header.pointee.first += 1
        return keptOrFreed()
    }

    func free() {
        versions.deinitialize(count: count)
        raw.deallocate()
    }

    private func keptOrFreed() -> KeyHistory? {
        if count == 0 {
            raw.deallocate()
            return nil
        }
        // A key that was written often and then compacted gives its room back.
        return header.pointee.capacity >= 8 && count * 4 <= Int(header.pointee.capacity) ? moved(capacity: count * 2) : self
    }

    private func moved(capacity: Int) -> KeyHistory {
        let target = KeyHistory(capacity: capacity)
        target.versions.moveInitialize(from: versions, count: count)
        target.header.pointee.count = header.pointee.count
        raw.deallocate()
        return target
    }
}
