// Owns: the ways in which a token can be signed, by the names of RFC 7518 and RFC 8037.
internal import COpenSSL

package enum SignMethod: String, CaseIterable, Sendable {
    case HS256, HS384, HS512
    case RS256, RS384, RS512
    case PS256, PS384, PS512
    case ES256, ES384, ES512
    case EdDSA

    enum Family: Sendable {
        case hmac
        case rsa
        case rsaPSS
        case ecdsa
        case ed25519
    }

    var family: Family {
        switch self {
        case .HS256, .HS384, .HS512: .hmac
        case .RS256, .RS384, .RS512: .rsa
        case .PS256, .PS384, .PS512: .rsaPSS
        case .ES256, .ES384, .ES512: .ecdsa
        case .EdDSA: .ed25519
        }
    }

    /// OpenSSL's hash function; nil where the method has its own.
    var digest: OpaquePointer? {
        switch self {
        case .HS256, .RS256, .PS256, .ES256: EVP_sha256()
        case .HS384, .RS384, .PS384, .ES384: EVP_sha384()
        case .HS512, .RS512, .PS512, .ES512: EVP_sha512()
        case .EdDSA: nil
        }
    }

    /// How many bytes each of the two numbers of an ECDSA signature takes; 0 for other methods.
    var coordinateBytes: Int {
        switch self {
        case .ES256: 32
        case .ES384: 48
        case .ES512: 66
        default: 0
        }
    }

    /// The bits of the curve that the method goes with; 0 for other methods.
    var curveBits: Int32 {
        switch self {
        case .ES256: 256
        case .ES384: 384
        case .ES512: 521
        default: 0
        }
    }
}
