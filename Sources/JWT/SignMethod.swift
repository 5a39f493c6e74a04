// Owns: the ways in which a token can be signed, by the names of RFC 7518 and RFC 8037.
internal import COpenSSL

package enum SignMethod: String, CaseIterable, Sendable {
    case hs256 = "HS256"
    case hs384 = "HS384"
    case hs512 = "HS512"
    case rs256 = "RS256"
    case rs384 = "RS384"
    case rs512 = "RS512"
    case ps256 = "PS256"
    case ps384 = "PS384"
    case ps512 = "PS512"
    case es256 = "ES256"
    case es384 = "ES384"
    case es512 = "ES512"
    case edDSA = "EdDSA"

    enum Family: Sendable {
        case hmac
        case rsa
        case rsaPSS
        case ecdsa
        case ed25519
    }

    var family: Family {
        switch self {
        case .hs256, .hs384, .hs512: .hmac
        case .rs256, .rs384, .rs512: .rsa
        case .ps256, .ps384, .ps512: .rsaPSS
        case .es256, .es384, .es512: .ecdsa
        case .edDSA: .ed25519
        }
    }

    /// OpenSSL's hash function; nil where the method has its own.
    var digest: OpaquePointer? {
        switch self {
        case .hs256, .rs256, .ps256, .es256: EVP_sha256()
        case .hs384, .rs384, .ps384, .es384: EVP_sha384()
        case .hs512, .rs512, .ps512, .es512: EVP_sha512()
        case .edDSA: nil
        }
    }

    /// How many bytes each of the two numbers of an ECDSA signature takes; 0 for other methods.
    var coordinateBytes: Int {
        switch self {
        case .es256: 32
        case .es384: 48
        case .es512: 66
        default: 0
        }
    }

    /// The bits of the curve that the method goes with; 0 for other methods.
    var curveBits: Int32 {
        switch self {
        case .es256: 256
        case .es384: 384
        case .es512: 521
        default: 0
        }
    }
}
