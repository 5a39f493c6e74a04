// Owns: answers that list any number of leases, or of a lease's keys: a bounded piece is encoded each turn, from what there was when the
// answer was due.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

/// A long answer under way. A class, since the writer that grows inside can't be moved about in an array.
final class LeaseListing {
    enum Content {
        case leases(ChunkedSet<LeaseID>)
        case keys(ChunkedSet<ByteString>)

        var count: Int {
            switch self {
            case .leases(let leases): leases.count
            case .keys(let keys): keys.count
            }
        }
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

extension Replica {
    /// How many long answers are under way.
    package var leaseListingCount: Int { leaseListings.count }

    /// Answers LeaseLeases.
    mutating func listLeases(_ id: CallID, _ header: ResponseHeader) {
        var writer = ByteWriter(capacity: 64)
        LeaseLeasesResponse(header: header).encode(into: &writer)
        begin(LeaseListing(id, .leases(store.leases.orderedIDs), writer))
    }

    /// Answers LeaseTimeToLive: `response` with the keys, which come last in it.
    mutating func listKeys(of lease: Lease, _ id: CallID, _ response: LeaseTimeToLiveResponse) {
        var writer = ByteWriter(capacity: 64)
        response.encode(into: &writer)
        begin(LeaseListing(id, .keys(lease.keys), writer))
    }

    private mutating func begin(_ listing: LeaseListing) {
        leaseListings.append(listing)
        continueListings()
    }

    /// Goes on with the answers, oldest first, as far as this turn's work goes.
    mutating func continueListings() {
        while let listing = leaseListings.first {
            if listing.isDone {
                leaseListings.removeFirst()
                actions.append(.respond(listing.id, listing.finish()))
                continue
            }
            guard turnWork.listLeft > 0 else { return }
            let count = listing.step(limit: turnWork.listLeft)
            turnWork.listLeft -= count
            turnWork.visits += count
        }
    }
}
