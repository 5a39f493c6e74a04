import Bytes
import Calls
import EtcdAPI
import Keyspace
import TestSupport
import Testing

@testable import Replica

@Suite("Lease listings", .ownThreads)
struct LeaseListingsTests {
    private func answers(_ actions: [Action]) -> [(id: UInt64, message: ByteString)] {
        actions.compactMap { if case .answer(let id, .respond(let message)) = $0 { (id.rawValue, message) } else { nil } }
    }

    @Test("a turn encodes a bounded piece, of the oldest answer first, and each lists what there was when it was due")
    func pieces() throws {
        let world = LeaseStore(1...2_000)
        var listings = LeaseListings(turnLimit: 600)
        var actions: [Action] = []
        for id in 1...2 as ClosedRange<UInt64> {
            listings.asked(CallID(rawValue: id), leasesOf: world.store.leases, ResponseHeader(memberID: 7), &actions)
        }
        #expect(actions.isEmpty && listings.count == 2)
        for lease in 1...2_000 as ClosedRange<LeaseID> { world.revoke(lease) }
        var visits: [Int] = []
        while listings.count > 0 {
            visits.append(listings.turnEnded())
            listings.turnBegan(&actions)
            listings.invariants()
        }
        let most = try #require(visits.max())
        #expect(most >= 600 && most < 600 + 512 && visits.count > 2)
        let done = answers(actions)
        #expect(done.map(\.id) == [1, 2])
        for answer in done {
            let response = try LeaseLeasesResponse.decode(answer.message)
            #expect(response.leases.map(\.id) == Array(1...2_000) && response.header?.memberID == 7)
        }
    }

    @Test("what fits into the turn is answered at once, an empty list too")
    func atOnce() throws {
        let world = LeaseStore()
        var listings = LeaseListings(turnLimit: 600)
        var actions: [Action] = []
        listings.asked(CallID(rawValue: 1), leasesOf: world.store.leases, ResponseHeader(), &actions)
        world.grant(5)
        for key in ["b", "a"] as [ByteString] { world.put(key, lease: 5) }
        let response = LeaseTimeToLiveResponse(header: ResponseHeader(), id: 5, ttl: 9, grantedTTL: 60)
        listings.asked(CallID(rawValue: 2), keysOf: try #require(world.store.leases[5]), response, &actions)
        #expect(listings.count == 0 && listings.turnEnded() == 2)
        let done = answers(actions)
        #expect(done.map(\.id) == [1, 2])
        #expect(try LeaseLeasesResponse.decode(done[0].message).leases.isEmpty)
        let left = try LeaseTimeToLiveResponse.decode(done[1].message)
        #expect(left.keys == ["a", "b"] && left.ttl == 9 && left.id == 5 && left.grantedTTL == 60)
    }

    @Test("a client that is gone gets nothing, and where the log is read anew the others are told")
    func ended() {
        let world = LeaseStore(1...2_000)
        var listings = LeaseListings(turnLimit: 1)
        var actions: [Action] = []
        for id in 1...3 as ClosedRange<UInt64> {
            listings.asked(CallID(rawValue: id), leasesOf: world.store.leases, ResponseHeader(), &actions)
        }
        listings.clientsLeft([CallID(rawValue: 1)])
        listings.invariants()
        listings.loadingBegan(&actions)
        #expect(actions == [.fail(CallID(rawValue: 2), .leaderChanged), .fail(CallID(rawValue: 3), .leaderChanged)])
        #expect(listings.count == 0)
        listings.invariants()
    }
}
