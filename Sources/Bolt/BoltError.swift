// Owns: why a bbolt file can't be read, one line each.

package enum BoltError: Error, Equatable, CustomStringConvertible {
    case cannotRead(path: String, errno: Int32)
    case tooShort(path: String, bytes: Int)
    case notBolt(path: String)
    case truncated(path: String, bytes: Int, expected: Int)
    case damagedPage(path: String, page: UInt64, what: String)
    case noBucket(path: String, name: String)

    package var description: String {
        switch self {
        case .cannotRead(let path, let errno): "cannot read \(path): \(systemMessage(errno))"
        case .tooShort(let path, let bytes): "\(path) is no bbolt file: it has \(bytes) bytes only"
        case .notBolt(let path): "\(path) is no bbolt file, or is damaged: neither of its two meta pages is valid"
        case .truncated(let path, let bytes, let expected): "\(path) is truncated: it has \(bytes) bytes of at least \(expected)"
        case .damagedPage(let path, let page, let what): "\(path) is damaged: page \(page): \(what)"
        case .noBucket(let path, let name): "\(path) has no bucket \(name)"
        }
    }
}
