// Owns: the open calls of Lock and Election of one loop, and the ids under which they ask the engine: a call asks several things, one
// after another, and its last even where the client is gone.
// Invariant: an id names what its call waits for now, or nothing.
internal import Calls
internal import Keyspace
internal import Replica

struct CoordinationCalls {
    struct Entry {
        var call: any CoordinationCall
        /// About what it keeps in memory.
        let byteCount: Int
        let principal: Principal
        /// What it has asked and was not answered.
        var asked: CallID?
        var watch: CallID?
        /// While its client doesn't read, what it would ask next is held, and the watch's further messages wait.
        var flow = StreamFlow()
        var held: Request?

        mutating func waitsForNothing() {
            asked = nil
            watch = nil
            flow.forgetReports()
        }
    }

    private(set) var entries: [CallID: Entry] = [:]
    private var owners: [CallID: CallID] = [:]
    private var byteCount = 0
    private var nextNumber: UInt32 = 0

    /// Calls of one loop, and what they keep in memory.
    private static let callLimit = 50_000
    private static let byteLimit = 64 << 20

    func hasRoom(for byteCount: Int) -> Bool {
        entries.count < Self.callLimit && self.byteCount + byteCount <= Self.byteLimit
    }

    mutating func open(_ id: CallID, _ call: any CoordinationCall, byteCount: Int, principal: Principal) {
        entries[id] = Entry(call: call, byteCount: byteCount, principal: principal)
        self.byteCount += byteCount
    }

    /// Changes a call's entry; nil where the call is over.
    mutating func update<R>(_ id: CallID, _ body: (inout Entry) -> R) -> R? {
        guard let index = entries.index(forKey: id) else { return nil }
        return body(&entries.values[index])
    }

    mutating func close(_ id: CallID) {
        guard let entry = entries.removeValue(forKey: id) else { return }
        byteCount -= entry.byteCount
    }

    /// The call that waits for what `id` brings.
    func owner(of id: CallID) -> CallID? { owners[id] }

    /// An id for what `call` waits for next.
    mutating func name(for call: CallID) -> CallID {
        var id: CallID
        repeat {
            id = CallID(coordination: nextNumber, caller: call.caller)
            nextNumber &+= 1
        } while owners[id] != nil
        owners[id] = call
        return id
    }

    mutating func forget(_ id: CallID) { owners[id] = nil }
}

extension CallID {
    /// What a call of Lock or Election asks: no stream of a loop has the highest slot.
    init(coordination number: UInt32, caller: Int) {
        self.init(rawValue: UInt64(caller) << 56 | 0xFF_FFFF << 32 | UInt64(number))
    }

    @inline(__always)
    var isOfCoordination: Bool { rawValue >> 32 & 0xFF_FFFF == 0xFF_FFFF }
}
