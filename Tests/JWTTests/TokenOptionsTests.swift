// Checks what `--auth-token` may say.
internal import JWT
internal import Testing

@Suite struct TokenOptionsTests {
    @Test("etcd's options")
    func options() throws {
        #expect(try TokenOptions("simple") == .simple)
        #expect(
            try TokenOptions("jwt,pub-key=a.pub,priv-key=/b,sign-method=RS256,ttl=10m")
                == .jwt(TokenOptions.JWT(signMethod: .rs256, publicKey: "a.pub", privateKey: "/b", timeToLive: "10m")))
        #expect(try TokenOptions("jwt,sign-method=HS512,priv-key=k,ttl=") == .jwt(TokenOptions.JWT(signMethod: .hs512, privateKey: "k")))
    }

    @Test("what is refused, by name")
    func refused() {
        let refused: [(String, TokenOptions.Failure)] = [
            ("", .unknownKind("")), ("jvt", .unknownKind("jvt")), ("jwt", .unknownSignMethod("")), ("jwt,", .notAPair("")),
            ("jwt,sign-method", .notAPair("sign-method")), ("jwt,sign-method=a=b", .notAPair("sign-method=a=b")),
            ("jwt,ttl=1s,ttl=2s", .givenTwice("ttl")), ("jwt,sign-method=none", .unknownSignMethod("none")),
            ("jwt,sign-method=RS256,pubkey=a", .unknownOption("pubkey")), ("simple,ttl=5m", .unknownOption("ttl")),
        ]
        for (text, failure) in refused { #expect(throws: failure) { try TokenOptions(text) } }
    }
}
