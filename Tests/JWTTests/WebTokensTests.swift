// Checks what makes a JSON Web Token good, and that nothing but one is taken for it.
internal import Auth
internal import Bytes
internal import EtcdAPI
internal import JWT
internal import Testing

@Suite struct WebTokensTests {
    private func key() throws -> SigningKey { try SigningKey(.hs256, publicKey: nil, privateKey: "secret") }

    @Test("a token is good until it expires, and vouches for its auth revision")
    func life() throws {
        var tokens = WebTokens(key: try key(), timeToLiveSeconds: 300)
        let token = try tokens.token(for: "u", revision: 7, nowSeconds: 1_000)
        for now in [1_000, 1_299.5] { #expect(try tokens.identity(of: token, nowSeconds: now) == .user("u", revision: 7)) }
        #expect(tokens.knownCount == 1)
        #expect(throws: EtcdError.invalidAuthToken) { try tokens.identity(of: token, nowSeconds: 1_300) }
        #expect(tokens.knownCount == 0)
        let early = TokenClaims(user: "u", revision: 7, notBefore: 10)
        #expect(!early.isGood(atSeconds: 9))
        #expect(early.isGood(atSeconds: 10))
    }

    @Test("what is no token costs no memory; a public key makes none")
    func strangers() throws {
        var tokens = WebTokens(key: try key(), timeToLiveSeconds: 300)
        for text in ["", ".", "..", "a.b.c", "bogus"] as [ByteString] {
            #expect(throws: EtcdError.invalidAuthToken) { try tokens.identity(of: text, nowSeconds: 0) }
        }
        #expect(tokens.knownCount == 0)
        let verifyOnly = WebTokens(
            key: try SigningKey(.es256, publicKey: TestKeys.p256Public, privateKey: nil), timeToLiveSeconds: 300)
        let error = EtcdError(code: .unknown, text: "auth: token signing attempted with verify-only key")
        #expect(throws: error) { try verifyOnly.token(for: "u", revision: 1, nowSeconds: 0) }
    }

    @Test("claims that are not what they must be make a token nobody's")
    func claims() throws {
        let key = try key()
        func read(_ claims: String, header: String = "{\"alg\":\"HS256\"}") -> TokenClaims? {
            let message = ByteString(
                Array(Base64.encodeForURL(ByteString(header))) + [0x2E] + Array(Base64.encodeForURL(ByteString(claims))))
            return TokenClaims(ByteString(Array(message) + [0x2E] + Array(Base64.encodeForURL(key.sign(message)))), key: key)
        }
        #expect(read(#"{"username":"u","revision":7}"#) == TokenClaims(user: "u", revision: 7))
        #expect(read(#"{"username":"\u0075\ud83d\ude00","revision":7.9e0,"other":[{}]}"#) == TokenClaims(user: "u😀", revision: 7))
        #expect(read(#"{"username":"u","revision":-1}"#) == TokenClaims(user: "u", revision: 0))
        #expect(read(#"{"username":"u","revision":1e300}"#) == TokenClaims(user: "u", revision: 0))
        let refused = [
            #"{"username":"u"}"#, #"{"revision":7}"#, #"{"username":7,"revision":7}"#, #"{"username":"u","revision":"7"}"#,
            #"{"username":"u","revision":7,"exp":"never"}"#, #"{"username":"u","revision":7,"nbf":null}"#, "[]", "", "7",
            #"{"username":"u","revision":7}}"#, #"{"username":"u","revision":7"#,
        ]
        for claims in refused { #expect(read(claims) == nil, "\(claims)") }
        for header in ["{}", #"{"alg":"none"}"#, #"{"alg":"HS512"}"#, #"{"alg":["HS256"]}"#, "HS256"] {
            #expect(read(#"{"username":"u","revision":7}"#, header: header) == nil, "\(header)")
        }
    }
}
