// Checks SHA-256 and HMAC against published vectors.
internal import Auth
internal import Bytes
internal import Foundation
internal import Testing

@Suite struct SHA256Tests {
    private func hex(_ bytes: ByteString) -> String { bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }

    @Test("FIPS 180-4's examples")
    func digests() {
        #expect(hex(SHA256.digest("")) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(hex(SHA256.digest("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(
            hex(SHA256.digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))
                == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
        #expect(
            hex(SHA256.digest(ByteString([UInt8](repeating: 0x61, count: 1_000_000))))
                == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    @Test("each length around a block's end has its own padding")
    func padding() {
        // Of 55, 56, 63, 64 and 65 times the letter a.
        let expected = [
            55: "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318",
            56: "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a",
            63: "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34",
            64: "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb",
            65: "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0",
        ]
        for (count, digest) in expected { #expect(hex(SHA256.digest(ByteString([UInt8](repeating: 0x61, count: count)))) == digest) }
    }

    @Test("a code is that of key and message, however their lengths lie to the blocks")
    func lengths() {
        // HMAC by its definition, over one buffer each.
        func naive(_ message: ByteString, _ key: ByteString) -> ByteString {
            let block = Array(key.count > 64 ? SHA256.digest(key) : key)
            let padded = block + [UInt8](repeating: 0, count: 64 - block.count)
            let inner = SHA256.digest(ByteString(padded.map { $0 ^ 0x36 } + Array(message)))
            return SHA256.digest(ByteString(padded.map { $0 ^ 0x5C } + Array(inner)))
        }
        for keyCount in [0, 1, 32, 63, 64, 65, 130] {
            let key = ByteString((0..<keyCount).map { UInt8(truncatingIfNeeded: $0 * 7 + 1) })
            for count in 0..<200 {
                let message = ByteString((0..<count).map { UInt8(truncatingIfNeeded: $0 * 11 + 3) })
                if SHA256.authenticationCode(message, key: key) != naive(message, key) { Issue.record("\(keyCount), \(count)") }
            }
        }
    }

    @Test("RFC 4231's test cases 1, 2, 3 and 6")
    func codes() {
        let key = ByteString([UInt8](repeating: 0x0B, count: 20))
        #expect(
            hex(SHA256.authenticationCode("Hi There", key: key)) == "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7")
        #expect(
            hex(SHA256.authenticationCode("what do ya want for nothing?", key: "Jefe"))
                == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        let third = SHA256.authenticationCode(
            ByteString([UInt8](repeating: 0xDD, count: 50)), key: ByteString([UInt8](repeating: 0xAA, count: 20)))
        #expect(hex(third) == "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe")
        let long = SHA256.authenticationCode(
            "Test Using Larger Than Block-Size Key - Hash Key First", key: ByteString([UInt8](repeating: 0xAA, count: 131)))
        #expect(hex(long) == "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")
    }
}
