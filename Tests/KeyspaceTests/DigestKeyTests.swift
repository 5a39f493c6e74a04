import Bytes
import EtcdAPI
import TestSupport
import Testing

@testable import Keyspace

@Suite(.ownThreads) struct DigestKeyTests {
    private let row = LogRow(
        position: Position(7, 2), kind: .put, key: "key", value: "value", createRevision: 3, version: 4, lease: 5, origin: -6)

    @Test("SipHash is SipHash: the reference's vector of fifteen bytes under SipHash-2-4")
    func sipHash() {
        var hash = SipHash(0x0706_0504_0302_0100, 0x0F0E_0D0C_0B0A_0908)
        hash.absorb(0x0706_0504_0302_0100, rounds: 2)
        hash.absorb(0x0F0E_0D0C_0B0A_0908, rounds: 2)
        #expect(hash.finish(rounds: 4) == 0xA129_CA61_49BE_45E5)
    }

    @Test("hashes and digests never change: they are stored")
    func golden() {
        let key = DigestKey(1, 2)
        var long = row
        long.value = ByteString((0..<1_000).map { UInt8(truncatingIfNeeded: $0) })
        #expect(key.hash(row).rawValue == 1_340_140_319_473_598_933)
        #expect(key.hash(long).rawValue == 2_287_876_515_567_607_396)
        var (digest, none): (Digest, DigestKey?) = (.start, nil)
        #expect(digest.append(key.row(at: Position(0, 0), origin: 9), &none) == .unknown)
        #expect(digest.rawValue == -7_391_059_149_609_295_401)
        #expect(digest.append(row, &none) == key.hash(row), "the row before gave the key")
        #expect(digest.rawValue == -8_676_387_183_007_633_927)
    }

    @Test("every field counts, and so does the key")
    func fields() {
        let key = DigestKey(1, 2)
        let changes: [(inout LogRow) -> Void] = [
            { _ in }, { $0.position.revision += 1 }, { $0.position.sub += 1 }, { $0.kind = .delete }, { $0.createRevision += 1 },
            { $0.version += 1 }, { $0.lease = LeaseID($0.lease.rawValue + 1) }, { $0.origin += 1 }, { $0.key = "kez" },
            { $0.value = "valuf" },
            // Bytes that move from one to the other, and zeros at the end.
            { ($0.key, $0.value) = ("keyv", "alue") }, { ($0.key, $0.value) = ("", "keyvalue") }, { $0.value = "value\0" },
            { $0.value = ByteString() }, { $0.key = ByteString() },
        ]
        var hashes: Set<RowHash> = []
        for change in changes {
            var other = row
            change(&other)
            let hash = key.hash(other)
            #expect(hash.isKnown && hash.rawValue <= RowHash.mask)
            hashes.insert(hash)
        }
        #expect(hashes.count == changes.count)
        #expect(!hashes.contains(DigestKey(1, 3).hash(row)) && !hashes.contains(DigestKey(0, 2).hash(row)))
    }

    @Test("each byte of values of all lengths counts, wherever stretches of bytes end")
    func lengths() {
        let key = DigestKey.random()
        var hashes: Set<RowHash> = []
        var count = 0
        for length in [1, 7, 8, 9, 15, 16, 17, 255, 256, 257, 271, 272, 511, 512, 513] {
            for changed in [nil, 0, length / 2, length - 1] as [Int?] {
                var bytes = [UInt8](repeating: 0, count: length)
                if let changed { bytes[changed] = 1 }
                var other = row
                other.value = ByteString(bytes)
                if hashes.insert(key.hash(other)).inserted { count += 1 }
                // A slice that begins anywhere in its storage has the hash of its bytes.
                other.value = ByteString([9] + bytes + [9]).slice(1..<length + 1)
                #expect(hashes.contains(key.hash(other)))
            }
        }
        // Of one byte the first, the middle and the last are the same one; of seven or more they are not.
        #expect(count == 15 * 4 - 2)
    }

    @Test("what is appended less what is deleted is what is left, around the end of the numbers as well")
    func sums() {
        let most = RowHash(rawValue: RowHash.mask)
        #expect(most + RowHash(rawValue: 1) == .zero)
        #expect(.zero - RowHash(rawValue: 1) == most)
        #expect(most + most - most == most)
    }

    @Test("a key that comes in the middle is folded in, and the store goes on under it")
    func inTheMiddle() {
        let key = DigestKey.random()
        var store = Store()
        let first = LogRow(position: Position(2, 0), kind: .put, key: "a", createRevision: 2, version: 1, origin: 1)
        let second = LogRow(position: Position(3, 0), kind: .put, key: "a", createRevision: 2, version: 2, origin: 1)
        let keyRow = key.row(at: Position(2, 1), origin: 1)
        #expect(store.apply(first) == .unknown)
        let before = store.tipDigest
        store.apply(keyRow)
        #expect(store.tipDigest == before.appending(keyRow), "a Pine that knows nothing of keys would come here, too")
        #expect(store.apply(second) == key.hash(second))
        #expect(store.tipDigest == key.digest(after: before.appending(keyRow), key.hash(second)))
    }
}
