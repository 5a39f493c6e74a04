// Checks signatures against those that others made, by every method, and keys in every form.
internal import Auth
internal import Bytes
internal import JWT
internal import Testing

@Suite struct SigningKeyTests {
    @Test("tokens of others are read by either key, and by no other method", arguments: TestKeys.tokens.map(\.method))
    func others(_ method: SignMethod) throws {
        let token = try #require(TestKeys.tokens.first { $0.method == method }).token
        let pair = TestKeys.pair(method)
        let expected = TokenClaims(user: "al\"ice", revision: 7, expires: 2_000_000_000)
        let own = try SigningKey(method, publicKey: pair.other, privateKey: pair.own)
        #expect(own.canSign)
        #expect(TokenClaims(token, key: own) == expected)
        if let other = pair.other {
            let key = try SigningKey(method, publicKey: other, privateKey: nil)
            #expect(!key.canSign)
            #expect(TokenClaims(token, key: key) == expected)
        }
        for another in SignMethod.allCases where another != method {
            let pair = TestKeys.pair(another)
            #expect(TokenClaims(token, key: try SigningKey(another, publicKey: nil, privateKey: pair.own)) == nil)
        }
    }

    @Test("what is signed is read again, and is what others sign where signatures hold no chance", arguments: SignMethod.allCases)
    func own(_ method: SignMethod) throws {
        let pair = TestKeys.pair(method)
        let key = try SigningKey(method, publicKey: nil, privateKey: pair.own)
        let claims = TokenClaims(user: "al\"ice", revision: 7, expires: 2_000_000_000)
        let token = claims.signed(with: key)
        #expect(TokenClaims(token, key: key) == claims)
        if let other = pair.other { #expect(TokenClaims(token, key: try SigningKey(method, publicKey: other, privateKey: nil)) == claims) }
        let theirs = try #require(TestKeys.tokens.first { $0.method == method }).token
        switch method {
        case .ps256, .ps384, .ps512, .es256, .es384, .es512: #expect(token.count == theirs.count)
        default: #expect(token == theirs)
        }
    }

    @Test("a token with any character changed, cut or lengthened is nobody's", arguments: [SignMethod.hs256, .es256, .edDSA])
    func forged(_ method: SignMethod) throws {
        let token = try #require(TestKeys.tokens.first { $0.method == method }).token
        let key = try SigningKey(method, publicKey: nil, privateKey: TestKeys.pair(method).own)
        for index in 0..<token.count {
            var bytes = Array(token)
            for value in Array("Aa.=".utf8) + [0, 0xFF] where value != token[index] {
                bytes[index] = value
                #expect(TokenClaims(ByteString(bytes), key: key) == nil)
            }
            #expect(TokenClaims(token.slice(0..<index), key: key) == nil)
        }
        for more in ["A", "AAAA", ".", ".AAAA"] { #expect(TokenClaims(ByteString(Array(token) + Array(more.utf8)), key: key) == nil) }
    }

    @Test("a public key's bytes are not taken for a secret, nor is a token without signature")
    func confusion() throws {
        let key = try SigningKey(.rs256, publicKey: TestKeys.rsaPublic, privateKey: nil)
        let hmac = try SigningKey(.hs256, publicKey: nil, privateKey: TestKeys.rsaPublic)
        #expect(TokenClaims(TokenClaims(user: "root", revision: 9).signed(with: hmac), key: key) == nil)
        let header = Base64.encodeForURL("{\"alg\":\"none\"}")
        let claims = Base64.encodeForURL("{\"username\":\"root\",\"revision\":9}")
        #expect(TokenClaims(ByteString(Array(header) + [0x2E] + Array(claims) + [0x2E]), key: key) == nil)
    }

    @Test("keys in every form that Go reads, and what they are refused for")
    func forms() throws {
        for own in [TestKeys.rsa, TestKeys.rsaTraditional] {
            for other in [TestKeys.rsaPublic, TestKeys.rsaPublicTraditional, ""] {
                #expect(try SigningKey(.ps512, publicKey: other, privateKey: own).canSign)
            }
        }
        #expect(try SigningKey(.es256, publicKey: TestKeys.p256Public, privateKey: TestKeys.p256Traditional).canSign)
        #expect(try SigningKey(.edDSA, publicKey: TestKeys.ed25519Certificate, privateKey: TestKeys.ed25519).canSign)
        #expect(try !SigningKey(.edDSA, publicKey: TestKeys.ed25519Certificate, privateKey: nil).canSign)
        for method in SignMethod.allCases {
            #expect(throws: SigningKey.Failure.missingKey) { try SigningKey(method, publicKey: nil, privateKey: "") }
        }
        #expect(throws: SigningKey.Failure.missingKey) { try SigningKey(.hs256, publicKey: "secret", privateKey: nil) }
        let wrong: [(SignMethod, ByteString)] = [
            (.rs256, TestKeys.p256), (.es256, TestKeys.rsa), (.es256, TestKeys.p384), (.es384, TestKeys.p521), (.es512, TestKeys.p256),
            (.edDSA, TestKeys.p256), (.rs256, "nonsense"), (.rs256, TestKeys.rsaPublic), (.edDSA, TestKeys.ed25519.slice(0..<60)),
        ]
        for (method, key) in wrong {
            #expect(throws: SigningKey.Failure.unreadable(isPrivate: true)) { try SigningKey(method, publicKey: nil, privateKey: key) }
        }
        #expect(throws: SigningKey.Failure.unreadable(isPrivate: false)) {
            try SigningKey(.rs256, publicKey: TestKeys.p256Public, privateKey: TestKeys.rsa)
        }
        let others = try #require(Self.otherEd25519)
        #expect(throws: SigningKey.Failure.keysDoNotMatch) {
            try SigningKey(.edDSA, publicKey: others, privateKey: TestKeys.ed25519)
        }
    }

    /// RFC 8037, appendix A.2.
    private static let otherEd25519: ByteString? = """
        -----BEGIN PUBLIC KEY-----
        MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
        -----END PUBLIC KEY-----
        """
}
