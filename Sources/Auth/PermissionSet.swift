// Owns: the keys that a user may read, and those that it may write: what the permissions of all its roles come to.
internal import Bytes
package import EtcdAPI

/// What a user may do with keys. Never changes: a class, so that handing it out counts one reference.
package final class PermissionSet: Sendable {
    package let readable: KeySet
    package let writable: KeySet

    package init(_ permissions: [Permission]) {
        func ranges(_ types: [Permission.PermissionType]) -> [(key: ByteString, rangeEnd: ByteString)] {
            permissions.filter { types.contains($0.permType) }.map { ($0.key, $0.rangeEnd) }
        }
        readable = KeySet(ranges([.read, .readWrite]))
        writable = KeySet(ranges([.write, .readWrite]))
    }
}
