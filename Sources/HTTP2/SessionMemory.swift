// Owns: the memory of one loop's nghttp2 sessions, in lists of free blocks by size. nghttp2 makes and drops half a dozen
//       small blocks for each stream; with many streams at once these overflow malloc's own per-thread cache.
// Must never: be used by two threads at once, or go away before the last session that was made with it.
// Invariant: every block begins with a header that names its size class.
internal import Bytes
internal import CNghttp2
internal import Glibc

final class SessionMemory {
    fileprivate struct Lists {
        /// Heads of the free lists, by size class. A free block's first word points to the next.
        var heads: UnsafeMutablePointer<UnsafeMutableRawPointer?>
        var counts: UnsafeMutablePointer<Int>
    }

    /// Classes are multiples of this many bytes; larger blocks are malloc's.
    fileprivate static let grain = 32
    fileprivate static let classCount = 17
    /// malloc keeps what it gives aligned to 16 bytes, and so do we.
    fileprivate static let headerSize = 16
    /// Free blocks kept of each class. Beyond it they go back to malloc.
    fileprivate static let keptLimit = 4_096

    private let lists: UnsafeMutablePointer<Lists>
    /// What nghttp2 is given.
    let functions: UnsafeMutablePointer<nghttp2_mem>

    init() {
        lists = .allocate(capacity: 1)
        let heads = UnsafeMutablePointer<UnsafeMutableRawPointer?>.allocate(capacity: SessionMemory.classCount)
        heads.initialize(repeating: nil, count: SessionMemory.classCount)
        let counts = UnsafeMutablePointer<Int>.allocate(capacity: SessionMemory.classCount)
        counts.initialize(repeating: 0, count: SessionMemory.classCount)
        lists.initialize(to: Lists(heads: heads, counts: counts))
        functions = .allocate(capacity: 1)
        functions.initialize(
            to: nghttp2_mem(
                mem_user_data: lists, malloc: { allocate($0, freeLists($1)) }, free: { release($0, freeLists($1)) },
                calloc: { allocateZeroed($0, $1, freeLists($2)) }, realloc: { resize($0, $1, freeLists($2)) }))
    }

    deinit {
        for index in 0..<SessionMemory.classCount {
            while let block = lists.pointee.heads[index] {
                lists.pointee.heads[index] = block.load(as: UnsafeMutableRawPointer?.self)
                Glibc.free(block)
            }
        }
        lists.pointee.heads.deallocate()
        lists.pointee.counts.deallocate()
        lists.deallocate()
        functions.deallocate()
    }
}

private typealias ListsPointer = UnsafeMutablePointer<SessionMemory.Lists>

@inline(__always)
private func freeLists(_ context: UnsafeMutableRawPointer?) -> ListsPointer {
    context!.assumingMemoryBound(to: SessionMemory.Lists.self)
}

@inline(__always)
private func sizeClass(_ size: Int) -> Int {
    (size + SessionMemory.grain - 1) / SessionMemory.grain
}

private func allocate(_ size: Int, _ lists: ListsPointer) -> UnsafeMutableRawPointer? {
    let index = sizeClass(size)
    let block: UnsafeMutableRawPointer
    if index < SessionMemory.classCount {
        if let free = lists.pointee.heads[index] {
            lists.pointee.heads[index] = free.load(as: UnsafeMutableRawPointer?.self)
            lists.pointee.counts[index] -= 1
            block = free
        } else {
            guard let fresh = Glibc.malloc(index * SessionMemory.grain + SessionMemory.headerSize) else { return nil }
            block = fresh
        }
        block.storeBytes(of: size, toByteOffset: 8, as: Int.self)
    } else {
        guard size < Int.max / 2, let fresh = Glibc.malloc(size + SessionMemory.headerSize) else { return nil }
        block = fresh
        block.storeBytes(of: size, toByteOffset: 8, as: Int.self)
    }
    return block + SessionMemory.headerSize
}

private func release(_ pointer: UnsafeMutableRawPointer?, _ lists: ListsPointer) {
    guard let pointer else { return }
    let block = pointer - SessionMemory.headerSize
    let index = sizeClass(block.load(fromByteOffset: 8, as: Int.self))
    guard index < SessionMemory.classCount, lists.pointee.counts[index] < SessionMemory.keptLimit else {
        Glibc.free(block)
        return
    }
    block.storeBytes(of: lists.pointee.heads[index], as: UnsafeMutableRawPointer?.self)
    lists.pointee.heads[index] = block
    lists.pointee.counts[index] += 1
}

private func allocateZeroed(_ count: Int, _ size: Int, _ lists: ListsPointer) -> UnsafeMutableRawPointer? {
    let (total, overflow) = count.multipliedReportingOverflow(by: size)
    guard !overflow, let pointer = allocate(total, lists) else { return nil }
    pointer.initializeMemory(as: UInt8.self, repeating: 0, count: total)
    return pointer
}

private func resize(_ pointer: UnsafeMutableRawPointer?, _ size: Int, _ lists: ListsPointer) -> UnsafeMutableRawPointer? {
    guard let pointer else { return allocate(size, lists) }
    let oldSize = (pointer - SessionMemory.headerSize).load(fromByteOffset: 8, as: Int.self)
    guard let larger = allocate(size, lists) else { return nil }
    larger.copyMemory(from: pointer, byteCount: min(oldSize, size))
    release(pointer, lists)
    return larger
}
