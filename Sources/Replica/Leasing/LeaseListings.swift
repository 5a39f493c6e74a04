// Owns: answers that list any number of leases, or of a lease's keys: a bounded piece is encoded each turn, from what there was when the
// answer was due.
// Must never: list what changed since, or more than a turn's elements and the rest of their chunk in a turn.
// Invariant: the oldest answer is not done, or it would be out.
internal import Bytes
internal import Calls
internal import DequeModule
internal import EtcdAPI
internal import Keyspace

struct LeaseListings {
    private let turnLimit: Int
    /// Oldest first.
    private var listings = Deque<Listing>()
    /// Elements that this turn may still encode. Below 0 where a chunk was longer.
    private var left: Int

    /// - Parameter turnLimit: how many leases, or keys of leases, are listed in a turn.
    init(turnLimit: Int) {
        self.turnLimit = turnLimit
        left = turnLimit
    }

    /// How many answers are under way.
    var count: Int { listings.count }

    // MARK: Clients

    /// LeaseLeases is due.
    mutating func asked(_ id: CallID, leasesOf table: LeaseTable, _ header: ResponseHeader, _ actions: inout [Action]) {
        var writer = ByteWriter(capacity: 64)
        LeaseLeasesResponse(header: header).encode(into: &writer)
        begin(Listing(id, .leases(table.orderedIDs), writer), &actions)
    }

    /// LeaseTimeToLive is due: `response` with the keys, which come last in it.
    mutating func asked(_ id: CallID, keysOf lease: Lease, _ response: LeaseTimeToLiveResponse, _ actions: inout [Action]) {
        var writer = ByteWriter(capacity: 64)
        response.encode(into: &writer)
        begin(Listing(id, .keys(lease.keys), writer), &actions)
    }

    /// These calls are over.
    mutating func clientsLeft(_ gone: Set<CallID>) { listings.removeAll { gone.contains($0.id) } }

    // MARK: A turn

    private mutating func begin(_ listing: Listing, _ actions: inout [Action]) {
        listings.append(listing)
        proceed(&actions)
    }

    /// Goes on with the answers, oldest first, as far as this turn's work goes.
    mutating func turnBegan(_ actions: inout [Action]) { proceed(&actions) }

    private mutating func proceed(_ actions: inout [Action]) {
        while let listing = listings.first {
            if listing.isDone {
                listings.removeFirst()
                actions.append(.respond(listing.id, listing.finish()))
                continue
            }
            guard left > 0 else { return }
            left -= listing.step(limit: left)
        }
    }

    /// Nothing more is done in this turn. How many elements were encoded.
    mutating func turnEnded() -> Int {
        defer { left = turnLimit }
        return turnLimit - left
    }

    /// The log is read anew: nobody gets an answer of what is forgotten.
    mutating func loadingBegan(_ actions: inout [Action]) {
        for listing in listings { actions.append(.fail(listing.id, .leaderChanged)) }
        listings.removeAll()
    }

    /// Traps where the listings break their rules.
    func invariants() {
        invariant(listings.first?.isDone != true, "an answer that is done is not out")
        invariant(left <= turnLimit, "\(left) elements of \(turnLimit) are left in a turn")
    }
}

/// A long answer under way. A class, since the writer that grows inside can't be moved about in an array.
private final class Listing {
    enum Content {
        case leases(ChunkedSet<LeaseID>)
        case keys(ChunkedSet<ByteString>)
    }

    let id: CallID
    private let content: Content
    private var nextChunk = 0
    private var writer: ByteWriter

    /// `writer` holds what comes before the list.
    init(_ id: CallID, _ content: Content, _ writer: consuming ByteWriter) {
        self.id = id
        self.content = content
        self.writer = writer
    }

    /// Encodes at least `limit` elements, and the rest of their chunk. How many they were.
    func step(limit: Int) -> Int {
        var count = 0
        while count < limit, !isDone {
            switch content {
            case .leases(let leases):
                let chunk = leases.chunks[nextChunk]
                if nextChunk == 0 { writer.reserve(leases.count * leaseStatusBytes) }
                writer.appendRepeated(2, chunk.map { LeaseStatus(id: $0) })
                count += chunk.count
            case .keys(let keys):
                let chunk = keys.chunks[nextChunk]
                // If the others are like these.
                if nextChunk == 0 { writer.reserve(chunk.reduce(0) { $0 + $1.count + keyOverheadBytes } * keys.chunks.count) }
                writer.appendRepeated(5, Array(chunk))
                count += chunk.count
            }
            nextChunk += 1
        }
        return count
    }

    var isDone: Bool {
        switch content {
        case .leases(let leases): nextChunk == leases.chunks.count
        case .keys(let keys): nextChunk == keys.chunks.count
        }
    }

    /// The answer; nothing is left afterwards.
    func finish() -> ByteString {
        var done = ByteWriter(capacity: 0)
        swap(&done, &writer)
        return done.finish()
    }
}

/// What a lease takes in the answer, and a key beside its bytes.
private let leaseStatusBytes = 12
private let keyOverheadBytes = 4
