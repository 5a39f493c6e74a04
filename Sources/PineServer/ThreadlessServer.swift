// Owns: a whole server on the caller's thread, without sockets or a database: what it costs can be counted in instructions,
// which threads would blur.
// Must never: wait for anything.
internal import EtcdAPI
internal import GRPC
internal import HTTP2
internal import Keyspace
package import NIOCore
internal import Passwords
package import Replica

package import struct Logging.Logger

package final class ThreadlessServer {
    private let http2: HTTP2Loop
    private let services: Services
    private let engine: Engine
    private var run: EngineRun
    private let log: (LogCommand) -> LogEvent?
    private let load: () -> [ReplicaEvent]
    private var isMoving = false

    /// `log` answers the replica's commands, or never will; `load` is the whole log.
    package init(
        on eventLoop: any EventLoop, logger: Logger, log: @escaping (LogCommand) -> LogEvent?,
        load: @escaping () -> [ReplicaEvent]
    ) {
        let configuration = ServerConfiguration(listenURLs: [])
        let replica = ReplicaConfiguration(origin: 1, memberID: 1)
        let shared = SharedState(logger: logger)
        engine = Engine(replica, shared: shared, logger: logger)
        run = EngineRun(replica)
        http2 = HTTP2Loop(index: 0, eventLoop: eventLoop, limits: HTTP2Limits(), keepAlive: KeepAlivePolicy(), logger: logger)
        let calls = GRPCLoop(
            http2: http2, methods: ServedMethod.grpcMethods, fields: .etcd,
            limits: GRPCLimits())
        services = Services(
            calls, engine: engine, shared: shared,
            health: Health(shared: shared, probes: Probes(engine: engine), log: LogSlot()),
            passwords: PasswordThreads(threads: 0, waitingLimit: 0), configuration: configuration, logger: logger)
        calls.handler = services
        http2.handler = calls
        self.log = log
        self.load = load
    }

    /// The handler of a new connection's channel.
    package func makeConnection() -> any ChannelHandler { HTTP2Connection(loop: http2) }

    /// Lets the engine do all that it can do without waiting.
    package func settle() {
        repeat {
            isMoving = false
            engine.turn(
                &run,
                deliver: { _, batch in
                    isMoving = true
                    http2.beginBatch()
                    services.deliver(batch)
                    http2.endBatch()
                },
                log: { command in
                    guard let event = log(command) else { return }
                    isMoving = true
                    engine.post(.log(event))
                },
                load: { _ in
                    isMoving = true
                    for event in load() { engine.post(event) }
                },
                sort: { job in
                    var job = job
                    job.run()
                    isMoving = true
                    engine.post(.sorted(job))
                })
        } while isMoving || run.replica.hasMoreWork
    }
}
