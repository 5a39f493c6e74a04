// Owns: the keys that tokens are signed and verified with, and OpenSSL's handle on them.
// Must never: show key material; leave anything in OpenSSL's error queue, which is the thread's.
// Source of what is accepted: etcd's server/auth/options.go, and golang-jwt's keys in PEM.
package import Bytes
internal import COpenSSL

package final class SigningKey: Sendable {
    package enum Failure: Error, Hashable {
        /// Neither key was given, or not the one that the method needs.
        case missingKey
        /// The bytes are no key of the method's kind.
        case unreadable(isPrivate: Bool)
        case keysDoNotMatch
    }

    package let method: SignMethod
    /// Whether tokens can be made, not only read.
    package let canSign: Bool

    // OpenSSL counts references to a key with atomics, and signing and verifying do not change it.
    private nonisolated(unsafe) let key: OpaquePointer

    /// `publicKey` and `privateKey` are the contents of the files that were given, in PEM; for HMAC the private one is the secret, as it
    /// stands. With both, they have to belong together.
    package init(_ method: SignMethod, publicKey: ByteString?, privateKey: ByteString?) throws(Failure) {
        self.method = method
        defer { ERR_clear_error() }
        let given = privateKey.flatMap { $0.isEmpty ? nil : $0 }
        if method.family == .hmac {
            guard let given else { throw .missingKey }
            let secret = given.withUnsafeBytes { bytes in
                EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, nil, bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count)
            }
            guard let secret else { throw .unreadable(isPrivate: true) }
            key = secret
            canSign = true
            return
        }
        var own: OpaquePointer?
        var other: OpaquePointer?
        do throws(Failure) {
            if let given {
                own = Self.readPrivate(given)
                guard Self.fits(own, method) else { throw .unreadable(isPrivate: true) }
            }
            if let publicKey, !publicKey.isEmpty {
                other = Self.readPublic(publicKey)
                guard Self.fits(other, method) else { throw .unreadable(isPrivate: false) }
            }
            if own != nil && other != nil && EVP_PKEY_eq(own, other) != 1 { throw .keysDoNotMatch }
            if own == nil && other == nil { throw .missingKey }
        } catch {
            EVP_PKEY_free(own)
            EVP_PKEY_free(other)
            throw error
        }
        canSign = own != nil
        if own != nil { EVP_PKEY_free(other) }
        key = (own ?? other)!
    }

    deinit { EVP_PKEY_free(key) }

    // MARK: Reading

    private static func readPrivate(_ pem: ByteString) -> OpaquePointer? {
        reading(pem) { source in
            // No prompt for a password: a key that wants one is not a key.
            PEM_read_bio_PrivateKey(source, nil, { _, _, _, _ in 0 }, nil)
        }
    }

    /// A public key, a certificate's, or RSA's own form.
    private static func readPublic(_ pem: ByteString) -> OpaquePointer? {
        if let key = reading(pem, { PEM_read_bio_PUBKEY($0, nil, nil, nil) }) { return key }
        let certified = reading(pem) { source -> OpaquePointer? in
            guard let certificate = PEM_read_bio_X509(source, nil, nil, nil) else { return nil }
            defer { X509_free(certificate) }
            return X509_get_pubkey(certificate)
        }
        if let certified { return certified }
        return reading(pem) { source in
            var name: UnsafeMutablePointer<CChar>?
            var header: UnsafeMutablePointer<CChar>?
            var data: UnsafeMutablePointer<UInt8>?
            var count = 0
            guard PEM_read_bio(source, &name, &header, &data, &count) == 1 else { return nil }
            defer {
                CRYPTO_free(name, #file, #line)
                CRYPTO_free(header, #file, #line)
                CRYPTO_free(data, #file, #line)
            }
            guard let name, String(cString: name) == "RSA PUBLIC KEY" else { return nil }
            var position = UnsafePointer(data)
            return d2i_PublicKey(EVP_PKEY_RSA, nil, &position, count)
        }
    }

    private static func reading(_ pem: ByteString, _ read: (OpaquePointer?) -> OpaquePointer?) -> OpaquePointer? {
        pem.withUnsafeBytes { bytes in
            guard let source = BIO_new_mem_buf(bytes.baseAddress, Int32(bytes.count)) else { return nil }
            defer { BIO_free(source) }
            return read(source)
        }
    }

    /// Whether a key is of the kind, and the curve, that a method goes with.
    private static func fits(_ key: OpaquePointer?, _ method: SignMethod) -> Bool {
        guard let key else { return false }
        switch method.family {
        case .rsa, .rsaPSS: return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA
        case .ecdsa: return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EVP_PKEY_get_bits(key) == method.curveBits
        case .ed25519: return EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519
        case .hmac: return false
        }
    }

    // MARK: Signing

    /// The signature of `message` as a token has it. To be asked of a key that can sign.
    package func sign(_ message: ByteString) -> ByteString {
        invariant(canSign, "a public key is asked to sign")
        defer { ERR_clear_error() }
        let context = EVP_MD_CTX_new()
        defer { EVP_MD_CTX_free(context) }
        var parameters: OpaquePointer?
        let begun = EVP_DigestSignInit(context, &parameters, method.digest, nil, key) == 1 && prepare(parameters, isSigning: true)
        invariant(begun, "OpenSSL does not begin to sign by \(method.rawValue)")
        var count = 0
        let signed = message.withUnsafeBytes { message -> [UInt8]? in
            let start = message.bindMemory(to: UInt8.self).baseAddress
            guard EVP_DigestSign(context, nil, &count, start, message.count) == 1 else { return nil }
            var signature = [UInt8](repeating: 0, count: count)
            guard EVP_DigestSign(context, &signature, &count, start, message.count) == 1 else { return nil }
            return Array(signature.prefix(count))
        }
        guard let signed else { violated("OpenSSL does not sign by \(method.rawValue)") }
        return ByteString(method.family == .ecdsa ? coordinates(ofDER: signed) : signed)
    }

    /// Whether `signature` is one of `message`.
    package func verify(_ message: ByteString, _ signature: ByteString) -> Bool {
        if method.family == .hmac {
            let right = sign(message)
            guard right.count == signature.count else { return false }
            return zip(right, signature).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
        }
        defer { ERR_clear_error() }
        guard let signature = method.family == .ecdsa ? der(ofCoordinates: signature) : Array(signature) else { return false }
        let context = EVP_MD_CTX_new()
        defer { EVP_MD_CTX_free(context) }
        var parameters: OpaquePointer?
        let begun = EVP_DigestVerifyInit(context, &parameters, method.digest, nil, key) == 1 && prepare(parameters, isSigning: false)
        guard begun else { return false }
        return message.withUnsafeBytes { message in
            EVP_DigestVerify(context, signature, signature.count, message.bindMemory(to: UInt8.self).baseAddress, message.count) == 1
        }
    }

    private func prepare(_ parameters: OpaquePointer?, isSigning: Bool) -> Bool {
        guard method.family == .rsaPSS else { return true }
        // Salts as long as the hash are made, and any are taken, as in Go.
        let salt = isSigning ? RSA_PSS_SALTLEN_DIGEST : RSA_PSS_SALTLEN_AUTO
        return EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) == 1
            && EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, salt) == 1
    }

    // MARK: ECDSA: two numbers of a fixed length in tokens, DER in OpenSSL

    private func coordinates(ofDER bytes: [UInt8]) -> [UInt8] {
        let signature = bytes.withUnsafeBufferPointer { bytes in
            var position = bytes.baseAddress
            return d2i_ECDSA_SIG(nil, &position, bytes.count)
        }
        guard let signature else { violated("OpenSSL does not read its own signature") }
        defer { ECDSA_SIG_free(signature) }
        return [ECDSA_SIG_get0_r(signature), ECDSA_SIG_get0_s(signature)].flatMap { number in
            var output = [UInt8](repeating: 0, count: method.coordinateBytes)
            BN_bn2binpad(number, &output, Int32(output.count))
            return output
        }
    }

    private func der(ofCoordinates bytes: ByteString) -> [UInt8]? {
        let count = method.coordinateBytes
        guard bytes.count == 2 * count, let signature = ECDSA_SIG_new() else { return nil }
        defer { ECDSA_SIG_free(signature) }
        let r = BN_bin2bn(Array(bytes.prefix(count)), Int32(count), nil)
        let s = BN_bin2bn(Array(bytes.suffix(count)), Int32(count), nil)
        // The signature owns the numbers from here on.
        guard ECDSA_SIG_set0(signature, r, s) == 1 else { return nil }
        var start: UnsafeMutablePointer<UInt8>?
        let length = i2d_ECDSA_SIG(signature, &start)
        guard length > 0, let start else { return nil }
        defer { CRYPTO_free(start, #file, #line) }
        return Array(UnsafeBufferPointer(start: start, count: Int(length)))
    }
}
