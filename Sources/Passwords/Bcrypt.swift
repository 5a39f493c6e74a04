// Owns: bcrypt hashes as Go's golang.org/x/crypto/bcrypt makes and reads them, computed by the system's libcrypt (`crypt_r`).
// Must never: keep a password: what libcrypt was given is wiped, whatever came of it.
//
// A hash is `$2a$`, the cost in two digits, `$`, 22 characters of salt and 31 of hash. Go reads any letter after the 2, or none, and computes
// the same for all. libcrypt does not (its `2x` is an old bug, its `2a` guards against that), so it is always asked for `2b`.
//
// One difference is left: passwords are C strings to libcrypt, so one with a NUL in it is refused, where etcd takes it.
package import Bytes
internal import CCrypt

package enum Bcrypt {
    package static let costs = 4...31
    package static let defaultCost = 10
    package static let saltBytes = 16
    /// bcrypt looks at no more, so a longer password must not be taken to be as good as it looks.
    package static let passwordLimit = 72

    package enum Failure: Error, Hashable {
        case passwordTooLong
        case passwordHasNUL
    }

    /// A hash of `password`, which takes 2^`cost` rounds: about 60 ms at the default cost.
    package static func hash(_ password: ByteString, cost: Int, salt: ByteString) throws(Failure) -> ByteString {
        invariant(costs.contains(cost), "a bcrypt cost of \(cost)")
        invariant(salt.count == saltBytes, "a salt of \(salt.count) bytes")
        if password.count > passwordLimit { throw .passwordTooLong }
        if password.contains(0) { throw .passwordHasNUL }
        guard let output = crypt(password, setting: setting(cost: cost, salt: salt)) else {
            violated("libcrypt has no bcrypt of cost \(cost)")
        }
        return ByteString(Array("$2a".utf8) + output.dropFirst(3))
    }

    /// Whether `hash` is one of `password`. Takes as long as the hash's cost says, wherever the two differ; what is no hash takes no time.
    package static func matches(_ password: ByteString, hash: ByteString) -> Bool {
        guard let parts = Parts(hash), let output = crypt(password.prefix(while: { $0 != 0 }), setting: parts.setting) else { return false }
        let difference = zip(output.suffix(Parts.digestCount), parts.digest).reduce(0) { $0 | ($1.0 ^ $1.1) }
        return difference == 0 && !password.contains(0)
    }

    /// Takes the time of `matches` with a hash of this cost: for users who do not exist or have no hash, which nobody may learn by a clock.
    package static func pretend(_ password: ByteString, cost: Int) {
        _ = crypt(password.prefix { $0 != 0 }, setting: setting(cost: cost, salt: ByteString([UInt8](repeating: 0, count: saltBytes))))
    }

    /// What a stored hash is made of.
    private struct Parts {
        static let digestCount = 31
        private static let saltCount = 22

        var setting: [UInt8]
        var digest: [UInt8]

        init?(_ hash: ByteString) {
            var rest = Array(hash)[...]
            guard rest.starts(with: Array("$2".utf8)) else { return nil }
            rest = rest.dropFirst(2)
            if rest.first != UInt8(ascii: "$") { rest = rest.dropFirst() }
            // `$10$`, salt, digest
            guard rest.count == 4 + Self.saltCount + Self.digestCount, rest.first == UInt8(ascii: "$"), !rest.contains(0) else {
                return nil
            }
            setting = Array("$2b".utf8) + rest.dropLast(Self.digestCount)
            digest = Array(rest.suffix(Self.digestCount))
        }
    }

    private static func setting(cost: Int, salt: ByteString) -> [UInt8] {
        var output = [CChar](repeating: 0, count: Int(CRYPT_GENSALT_OUTPUT_SIZE))
        let made = salt.withUnsafeBytes { salt in
            crypt_gensalt_rn(
                "$2b$", UInt(cost), salt.bindMemory(to: CChar.self).baseAddress, Int32(salt.count), &output, Int32(output.count))
        }
        invariant(made != nil, "libcrypt has no bcrypt")
        return output.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    }

    /// What `crypt_r` makes of it; nil where it has no use for the setting.
    private static func crypt(_ password: some Sequence<UInt8>, setting: [UInt8]) -> [UInt8]? {
        // 32 KiB, too much for the stack of a thread that has other things on it.
        let data = UnsafeMutablePointer<crypt_data>.allocate(capacity: 1)
        data.initialize(to: crypt_data())
        var password = Array(password) + [0]
        defer {
            password.withUnsafeMutableBytes { pine_wipe($0.baseAddress, UInt($0.count)) }
            pine_wipe(data, UInt(MemoryLayout<crypt_data>.size))
            data.deallocate()
        }
        let output = password.withUnsafeBytes { password in
            (setting + [0]).withUnsafeBytes { setting in
                crypt_r(password.bindMemory(to: CChar.self).baseAddress, setting.bindMemory(to: CChar.self).baseAddress, data)
            }
        }
        guard let output else { return nil }
        let bytes = UnsafeBufferPointer(start: output, count: strlen(output)).map { UInt8(bitPattern: $0) }
        // A failure is `*0` or `*1`.
        return bytes.first == UInt8(ascii: "$") ? bytes : nil
    }
}
