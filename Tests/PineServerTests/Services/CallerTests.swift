import Bytes
import Calls
import EtcdAPI
import GRPC
import Keyspace
import Passwords
import Replica
import Testing

@testable import PineServer

@Suite("Callers that are not gRPC")
struct CallerTests {
    @Test("Methods have the indexes of their places, and each is named once")
    func indexes() {
        for (index, served) in ServedMethod.all.enumerated() { #expect(MethodIndex(served.method)?.rawValue == index) }
        #expect(Set(ServedMethod.all.map(\.method)).count == ServedMethod.all.count)
        #expect(Set(ServedMethod.all.map(\.method)) == Set(EtcdMethod.allCases))
        for served in ServedMethod.all { #expect((served.started != nil) == (served.method.kind == .bidirectional)) }
    }

    @Test("A unary call brings a message and OK, or an error's code and text")
    func unary() throws {
        let server = PlainServer()
        let put = server.call(.put, PutRequest(key: "k", value: "v"))
        #expect(put.status == .ok && put.messages.count == 1)
        let range = server.call(.range, RangeRequest(key: "k"))
        #expect(try RangeResponse.decode(#require(range.messages.first)).kvs.first?.value == "v")
        let refused = server.call(.put, PutRequest(key: "", value: "v"))
        #expect(refused == PlainCaller.Outcome(status: GRPCStatus(.invalidArgument, "etcdserver: key is not provided")))
        let compacted = server.call(.compact, CompactionRequest(revision: 100, physical: false))
        #expect(compacted.status?.code == .outOfRange && compacted.messages.isEmpty)
    }

    @Test("A streamed range brings its messages, then OK")
    func serverStreaming() {
        let server = PlainServer()
        for number in 0..<20 { _ = server.call(.put, PutRequest(key: ByteString("k\(number)"), value: "v")) }
        let range = server.call(.rangeStream, RangeRequest(key: "k", rangeEnd: "l"))
        #expect(range.status == .ok && !range.messages.isEmpty)
    }

    @Test("A watch whose client doesn't read is sent a buffer's worth, and the rest once it has read")
    func backPressure() throws {
        let server = PlainServer { configuration in
            configuration.watchStreamBufferMinBytes = 1_000
            configuration.watchBufferBytes = 1_000
        }
        let watch = server.begin(.watch, WatchRequest.create(WatchCreateRequest(key: "k")))
        server.settle()
        #expect(server.caller.outcomes[watch]?.messages.count == 1)
        server.caller.hasRoom = false
        let value = ByteString([UInt8](repeating: 7, count: 600))
        for _ in 0..<20 { _ = server.call(.put, PutRequest(key: "k", value: value)) }
        let sent = try #require(server.caller.outcomes[watch]).messages.count
        #expect(sent < 10)
        server.caller.hasRoom = true
        server.services.callWritable(watch)
        server.services.turnEnded()
        server.settle()
        let events = try #require(server.caller.outcomes[watch]).messages.map { try WatchResponse.decode($0).events.count }
        #expect(events.reduce(0, +) == 20)
    }

    @Test("A stream of keep-alives pauses until half of them are answered, and ends when its client does")
    func keepAlives() throws {
        let server = PlainServer()
        #expect(server.call(.leaseGrant, LeaseGrantRequest(ttl: 60, id: 5)).status == .ok)
        let request = LeaseKeepAliveRequest(id: 5)
        let call = server.begin(.leaseKeepAlive, request)
        for _ in 1..<StreamFlow.unansweredLimit { server.send(call, .leaseKeepAlive, request) }
        #expect(server.caller.paused == [call])
        #expect(server.services.streams.endless == [call])
        server.services.callCancelled(call)
        server.services.turnEnded()
        #expect(server.services.streams.isEmpty)
        server.settle()
    }

    @Test("A lock is held and waited for, and what waits ends with the server")
    func coordination() {
        let server = PlainServer()
        #expect(server.call(.leaseGrant, LeaseGrantRequest(ttl: 60, id: 5)).status == .ok)
        #expect(server.call(.leaseGrant, LeaseGrantRequest(ttl: 60, id: 6)).status == .ok)
        #expect(server.call(.lock, LockRequest(name: "l", lease: 5)).status == .ok)
        let waiting = server.begin(.lock, LockRequest(name: "l", lease: 6))
        server.settle()
        #expect(server.caller.isOpen(waiting))
        server.services.shutdownBegan()
        server.services.turnEnded()
        #expect(server.caller.outcomes[waiting]?.status == GRPCStatus(.stopped))
    }

    @Test("Who asks goes along with every request")
    func principals() {
        let server = PlainServer()
        server.settle()
        server.caller.credentials = CallCredentials(token: "alice's")
        _ = server.begin(.put, PutRequest(key: "k", value: "v"))
        _ = server.begin(.range, RangeRequest(key: "k"))
        _ = server.begin(.status, StatusRequest())
        _ = server.begin(.leaseKeepAlive, LeaseKeepAliveRequest(id: 5))
        _ = server.begin(.watch, WatchRequest.create(WatchCreateRequest(key: "k")))
        _ = server.begin(.unlock, UnlockRequest(key: "k"))
        _ = server.begin(.leaseTimeToLive, LeaseTimeToLiveRequest(id: 5, keys: true))
        let asked = server.takeEvents().compactMap { event -> Principal? in
            switch event {
            case .requestArrived(_, _, let principal), .watchOpened(_, let principal): principal
            default: nil
            }
        }
        #expect(asked == [Principal](repeating: Principal(.token("alice's"), seenMs: 1), count: 7))
    }

    @Test("Each caller hears of its own calls, whatever else asks")
    func several() {
        let server = PlainServer()
        let other = PlainCaller(on: server.eventLoop)
        let logger = server.engine.logger
        let shared = SharedState(logger: logger)
        let services = Services(
            other, engine: server.engine, shared: shared,
            health: Health(shared: shared, probes: Probes(engine: server.engine), log: LogSlot()),
            passwords: PasswordThreads(threads: 0, waitingLimit: 0), configuration: ServerConfiguration(listenURLs: []), logger: logger)
        #expect(other.callerIndex != server.caller.callerIndex)
        let mine = server.begin(.put, PutRequest(key: "k", value: "v"))
        let call = other.newCall()
        services.messageReceived(call, method: MethodIndex(.range)!, message: RangeRequest(key: "k").encoded())
        services.turnEnded()
        server.settle()
        #expect(server.caller.outcomes[mine]?.status == .ok && other.outcomes[call]?.status == .ok)
        #expect(server.caller.outcomes[call] == nil && other.outcomes[mine] == nil)
    }
}
