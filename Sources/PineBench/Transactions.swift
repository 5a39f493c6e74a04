// Owns: transactions as kube-apiserver writes them: compare mod_revision; put or delete; else get.
internal import Bytes
internal import EtcdAPI

/// The bytes of one such transaction. The key goes in three times, hence a closure of its own for each place is spared.
struct ObjectTransaction {
    /// What `body` writes is the key's field of this number.
    typealias KeyWriter = (inout ByteWriter, _ field: Int) -> Void

    /// Creates (`revision` 0) or updates the key.
    static func put(
        revision: Revision, key: KeyWriter, capacity: Int, lease: LeaseID = 0, value: (inout ByteWriter, _ field: Int) -> Void
    ) -> ByteString {
        var writer = ByteWriter(capacity: capacity)
        compare(revision, key, &writer)
        let success = writer.beginMessage(2)
        let put = writer.beginMessage(ResponseOpMember.put.rawValue)
        key(&writer, 1)
        value(&writer, 2)
        if lease != 0 { writer.appendNumber(field: 3, lease.rawValue) }
        writer.endMessage(put)
        writer.endMessage(success)
        // A creation that fails says so; an update brings what is there, to be tried again.
        if revision != 0 { otherwiseGet(key, &writer) }
        return writer.finish()
    }

    static func delete(revision: Revision, key: KeyWriter) -> ByteString {
        var writer = ByteWriter(capacity: 256)
        compare(revision, key, &writer)
        let success = writer.beginMessage(2)
        let delete = writer.beginMessage(ResponseOpMember.deleteRange.rawValue)
        key(&writer, 1)
        writer.endMessage(delete)
        writer.endMessage(success)
        otherwiseGet(key, &writer)
        return writer.finish()
    }

    private static func compare(_ revision: Revision, _ key: KeyWriter, _ writer: inout ByteWriter) {
        let compare = writer.beginMessage(1)
        writer.appendNumber(field: 2, Int64(Compare.CompareTarget.mod.rawValue))
        key(&writer, 3)
        writer.appendNumber(field: 6, revision.rawValue)
        writer.endMessage(compare)
    }

    private static func otherwiseGet(_ key: KeyWriter, _ writer: inout ByteWriter) {
        let failure = writer.beginMessage(3)
        let range = writer.beginMessage(ResponseOpMember.range.rawValue)
        key(&writer, 1)
        writer.endMessage(range)
        writer.endMessage(failure)
    }

    /// The revision that the transaction took. It must have succeeded: nobody else writes to our keys.
    static func check(_ answer: UnsafeRawBufferPointer, _ member: ResponseOpMember) throws(WrongAnswer) -> Revision {
        let txn = try TxnView(answer)
        guard txn.succeeded else { throw WrongAnswer("a transaction's compare failed, though nobody else writes to its key") }
        guard txn.responses == 1, txn.member == member.rawValue else {
            throw WrongAnswer("a transaction of one operation brought \(txn.responses) responses")
        }
        if member == .deleteRange {
            var scan = WireScan(txn.response)
            var deleted: Int64 = 0
            while try scan.next() {
                if scan.field == 2 { deleted = scan.int64 }
            }
            guard deleted == 1 else { throw WrongAnswer("a transaction deleted \(deleted) keys instead of 1") }
        }
        return txn.revision
    }
}

/// Updates of keys that are there; each slot has keys of its own, as each object has one writer that knows its revision.
final class UpdateOperations: Operations {
    let kinds: [String]
    private let keys: KeyNames
    private let share: WorkerShare
    private let keysASlot: Int
    private var values: ValueSource
    private var revisions: [Revision]
    private var pending: [Int]

    init(_ plan: BenchPlan, _ share: WorkerShare, kind: String, revisions: [Revision]) {
        kinds = [kind]
        keys = KeyNames(plan.dataPrefix)
        self.share = share
        keysASlot = plan.preloadedKeys / share.slotsInAll
        values = ValueSource(size: plan.valueSize, seed: plan.seed &+ UInt64(share.index) &* 0x9E37)
        self.revisions = revisions
        pending = Array(repeating: 0, count: share.slots)
    }

    func next(_ slot: Int, at now: UInt64) -> OutgoingRequest? {
        let key = share.slotsBefore + slot + share.slotsInAll * values.random.below(keysASlot)
        pending[slot] = key
        let name: ObjectTransaction.KeyWriter = { [keys] in keys.append(key, to: &$0, field: $1) }
        let message = ObjectTransaction.put(
            revision: revisions[key], key: name, capacity: 4 * keys.keySize + values.fieldSize() + 64
        ) { values.append(to: &$0, field: $1, number: key, sentAt: now) }
        return OutgoingRequest(method: .txn, kind: 0, message: message)
    }

    func check(_ slot: Int, _ answer: UnsafeRawBufferPointer) throws(WrongAnswer) -> AnswerRevision {
        let revision = try ObjectTransaction.check(answer, .put)
        revisions[pending[slot]] = revision
        return AnswerRevision(revision: revision, isWrite: true)
    }
}

/// Objects that are created, updated some times, and deleted; or only created. Each slot has one at a time.
final class LifeCycleOperations: Operations {
    let kinds: [String]
    private let keys: KeyNames
    private let share: WorkerShare
    private let updates: Int
    private let deletes: Bool
    private var values: ValueSource
    private var objects: [Object]
    private var nextNumber: Int

    private struct Object {
        var number = 0
        /// 0 before the creation.
        var revision: Revision = 0
        var updates = 0
        var isDeleting = false
    }

    init(_ plan: BenchPlan, _ share: WorkerShare, updates: Int, deletes: Bool) {
        kinds = ["create"] + (updates > 0 ? ["update"] : []) + (deletes ? ["delete"] : [])
        keys = KeyNames(plan.dataPrefix)
        self.share = share
        self.updates = updates
        self.deletes = deletes
        values = ValueSource(size: plan.valueSize, seed: plan.seed &+ UInt64(share.index) &* 0x9E37)
        objects = Array(repeating: Object(), count: share.slots)
        // Where another run has created keys, these are others: the clock gives the first number.
        nextNumber = Int(monotonicNow() / 100_000 % 1_000_000_000) * 8 + share.index
    }

    func next(_ slot: Int, at now: UInt64) -> OutgoingRequest? {
        if objects[slot].revision == 0 {
            objects[slot].number = nextNumber
            nextNumber += share.workers
        }
        let object = objects[slot]
        let key: ObjectTransaction.KeyWriter = { [keys] in keys.append(object.number, to: &$0, field: $1) }
        if object.revision != 0 && object.updates == updates {
            objects[slot].isDeleting = true
            return OutgoingRequest(
                method: .txn, kind: kinds.count - 1, message: ObjectTransaction.delete(revision: object.revision, key: key))
        }
        let message = ObjectTransaction.put(
            revision: object.revision, key: key, capacity: 4 * keys.keySize + values.fieldSize() + 64
        ) { values.append(to: &$0, field: $1, number: object.number, sentAt: now) }
        return OutgoingRequest(method: .txn, kind: object.revision == 0 ? 0 : 1, message: message)
    }

    func check(_ slot: Int, _ answer: UnsafeRawBufferPointer) throws(WrongAnswer) -> AnswerRevision {
        let revision: Revision
        if objects[slot].isDeleting {
            revision = try ObjectTransaction.check(answer, .deleteRange)
            objects[slot] = Object()
        } else {
            revision = try ObjectTransaction.check(answer, .put)
            if objects[slot].revision != 0 { objects[slot].updates += 1 }
            objects[slot].revision = deletes || updates > 0 ? revision : 0
        }
        return AnswerRevision(revision: revision, isWrite: true)
    }
}
