// Owns: which pages there are.
internal import HTTP1
internal import NIOCore
internal import Synchronization

final class ServerPages: Sendable {
    /// What the pages are made from, once the server is put together.
    private struct Sources {
        var health: Health
        var metrics: ServerMetrics
    }

    private let sources = Mutex<Sources?>(nil)

    func open(health: Health, metrics: ServerMetrics) {
        sources.withLock { $0 = Sources(health: health, metrics: metrics) }
    }

    func answer(_ request: PageRequest, on eventLoop: any EventLoop) -> EventLoopFuture<PageResponse> {
        func atOnce(_ response: PageResponse) -> EventLoopFuture<PageResponse> { eventLoop.makeSucceededFuture(response) }
        guard let sources = sources.withLock({ $0 }) else { return atOnce(.error(503, "not ready")) }
        let names = request.path.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map(String.init)
        guard request.path.hasPrefix("/"), let first = names.first else { return atOnce(.notFound) }
        let isLeaf = names.count == 1
        switch first {
        case "metrics" where isLeaf:
            guard request.method == "GET" || request.method == "HEAD" else { return atOnce(.methodNotAllowed) }
            return sources.metrics.page(on: eventLoop)
        case "version" where isLeaf:
            guard request.method == "GET" else { return atOnce(.methodNotAllowed) }
            return atOnce(
                PageResponse(
                    status: 200, contentType: "application/json",
                    body: #"{"etcdserver":"\#(Versions.etcd)","etcdcluster":"\#(Versions.etcd)","storage":"\#(Versions.etcd)"}"#))
        case "debug" where names == ["debug", "vars"]:
            guard request.method == "GET" || request.method == "HEAD" else { return atOnce(.methodNotAllowed) }
            return DebugVariables.page(on: eventLoop)
        case "health" where isLeaf:
            guard request.method == "GET" else { return atOnce(.methodNotAllowed) }
            return sources.health.healthPage(request, on: eventLoop)
        case "livez", "readyz":
            guard names.count <= 2, let question = HealthQuestion(rawValue: first) else { return atOnce(.notFound) }
            guard request.method == "GET" else { return atOnce(.methodNotAllowed) }
            return sources.health.page(question, check: isLeaf ? nil : names[1], request, on: eventLoop)
        default: return atOnce(.notFound)
        }
    }
}
