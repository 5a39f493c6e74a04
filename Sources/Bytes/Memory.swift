// Owns: the comparison of memory. Apart from its callers, which are inlined elsewhere and must not bring Glibc with them.
internal import Glibc

/// memcmp over the first `count` bytes of both, which must have that many.
@usableFromInline
func compareMemory(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer, _ count: Int) -> Int {
    Int(memcmp(a.baseAddress!, b.baseAddress!, count))
}
