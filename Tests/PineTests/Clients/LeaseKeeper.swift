// Owns: a client that keeps leases alive through every fault.
// Must never: let a lease lapse by its own doing: where one server doesn't answer, it asks another.
import Bytes
import EtcdAPI
import Foundation
import Synchronization
import TestSupport

final class LeaseKeeper: Sendable {
    private struct State {
        var broken: BrokenPromise?
        var kept = 0
        var longestGap = Duration.zero
        var stopping = false
        var running = true
    }

    /// In seconds.
    static let ttl: Int64 = 10
    let leases: [LeaseID]
    private let ports: [Int]
    private let state = Mutex(State())

    /// Grants `leases`, puts a key with each, told to `load`, and keeps them alive, at the first of `ports` as long as that answers.
    init(_ leases: [LeaseID], ports: [Int], load: WriteLoad) throws {
        self.leases = leases
        self.ports = ports
        let client = try EtcdClient(port: ports[0])
        for lease in leases {
            let granted: LeaseGrantResponse = try client.call(.leaseGrant, LeaseGrantRequest(ttl: Self.ttl, id: lease))
            guard granted.id == lease else { throw BrokenPromise(description: "lease \(lease) was granted as \(granted.id)") }
            let value = ByteString("of lease \(lease)")
            let sent = ContinuousClock.now
            let answer = try client.put(PutRequest(key: Self.key(lease), value: value, lease: lease))
            load.record(
                SentWrite(
                    tag: value, puts: [Self.key(lease)], deletes: [], fate: .acknowledged(revision: answer.header?.revision ?? 0)),
                on: ports[0], sent: sent)
        }
        let thread = Thread { [self] in
            do {
                try keep()
            } catch let broken as BrokenPromise {
                state.withLock { $0.broken = broken }
            } catch {
                state.withLock { $0.broken = BrokenPromise(description: "\(error)") }
            }
            state.withLock { $0.running = false }
        }
        thread.name = "leases"
        thread.start()
    }

    static func key(_ lease: LeaseID) -> ByteString { ByteString("lease/\(lease)") }

    /// The longest time between two answers for all leases.
    var longestGap: Duration { state.withLock { $0.longestGap } }

    /// Ends the keep-alives. Throws where a lease was lost.
    func stop() throws {
        state.withLock { $0.stopping = true }
        try eventuallyBlocking("the end of the keep-alives") { state.withLock { !$0.running } }
        try state.withLock { if let broken = $0.broken { throw broken } }
    }

    private func keep() throws {
        var at = 0
        var client: EtcdClient?
        var last = ContinuousClock.now
        while !state.withLock({ $0.stopping }) {
            if client?.isConnected != true { client = try? EtcdClient(port: ports[at % ports.count]) }
            do throws(EtcdClientError) {
                guard let client else { throw .connectionLost("no connection") }
                try keepOnce(client)
                let gap = last.duration(to: .now)
                last = .now
                state.withLock {
                    $0.longestGap = max($0.longestGap, gap)
                    $0.kept += 1
                }
                Thread.sleep(forTimeInterval: 0.5)
            } catch .malformed(let lost) {
                throw BrokenPromise(description: lost)
            } catch {
                client = nil
                at += 1
                usleep(50_000)
            }
        }
    }

    private func keepOnce(_ client: EtcdClient) throws(EtcdClientError) {
        let stream: EtcdStream<LeaseKeepAliveResponse> = try client.open(.leaseKeepAlive)
        for lease in leases { stream.send(LeaseKeepAliveRequest(id: lease)) }
        for lease in leases {
            guard let answer = try stream.receive(timeout: .seconds(3)) else { throw .connectionLost("the stream ended") }
            guard answer.id == lease, answer.ttl == Self.ttl else {
                throw .malformed("lease \(lease), which is kept alive, is lost: \(answer)")
            }
        }
        stream.finishSending()
    }
}
