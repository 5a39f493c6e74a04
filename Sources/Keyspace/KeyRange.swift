// Owns: what etcd's pair of `key` and `range_end` means. A plain value.
package import Bytes

/// A set of keys without gaps: one key, [start, end), or everything from a key on.
package struct KeyRange: Hashable, Sendable {
    package enum End: Hashable, Sendable {
        /// The start key and nothing else.
        case single
        /// Every key from the start on.
        case unbounded
        /// Up to this key, without it. The range is empty where this is not greater than the start.
        case before(ByteString)
    }

    package var start: ByteString
    package var end: End

    package init(start: ByteString, end: End) {
        self.start = start
        self.end = end
    }

    /// etcd's fields: an empty `rangeEnd` means one key, `"\0"` everything from `key` on, anything else [key, rangeEnd).
    package init(key: ByteString, rangeEnd: ByteString) {
        start = key
        if rangeEnd.isEmpty {
            end = .single
        } else if rangeEnd.count == 1 && rangeEnd[0] == 0 {
            end = .unbounded
        } else {
            end = .before(rangeEnd)
        }
    }

    package init(single key: ByteString) {
        start = key
        end = .single
    }

    /// Every key that can exist.
    package static var all: KeyRange { KeyRange(start: ByteString(), end: .unbounded) }

    /// Every key that starts with `prefix`.
    package static func prefix(_ prefix: ByteString) -> KeyRange {
        let successor = prefix.prefixSuccessor()
        return KeyRange(start: prefix, end: successor.isEmpty ? .unbounded : .before(successor))
    }

    /// True where no key can be inside.
    package var isEmpty: Bool {
        switch end {
        case .single, .unbounded: false
        case .before(let end): end <= start
        }
    }

    package func contains(_ key: ByteString) -> Bool {
        switch end {
        case .single: key == start
        case .unbounded: key >= start
        case .before(let end): key >= start && key < end
        }
    }
}
