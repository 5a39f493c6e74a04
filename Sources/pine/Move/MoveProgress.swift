// Owns: what `pine export` and `pine import` share: their connection, their errors, and what they tell as they go on.
import ArgumentParser
import Changelog
import EtcdClient
import Foundation
import GRPC
import Logging
import Moving
import NIOCore
import NIOPosix

/// Runs `body`, and turns what it throws into one line.
func moving(_ body: () async throws -> Void) async throws {
    // A peer that closes its end is an error of the write, not a reason to die.
    signal(SIGPIPE, SIG_IGN)
    do {
        try await body()
    } catch let error as MoveError {
        throw UsageError(error.description)
    } catch let status as GRPCStatus {
        throw UsageError("the server says: \(status.message)")
    }
}

func connect(_ text: String, _ tls: EndpointTLSOptions) async throws -> EtcdClientConnection {
    let endpoint = try tls.endpoint(text)
    let connector = try tls.connector(for: [endpoint])
    do {
        return try await EtcdClientConnection.connect(
            to: endpoint, on: MultiThreadedEventLoopGroup.singleton.next(), userAgent: "pine-move", tls: connector)
    } catch {
        throw UsageError("can't reach \(text): \(error)")
    }
}

func say(_ line: String) { tell("\(line)\n") }

/// A line now and then on standard error.
struct MoveProgress {
    private let verb: String
    private let total: Int64?
    private var shownAt = ContinuousClock.now

    init(_ verb: String, total: Int64?) {
        self.verb = verb
        self.total = total
    }

    mutating func show(_ count: Int) {
        guard ContinuousClock.now - shownAt > .seconds(1) else { return }
        shownAt = .now
        say("\(verb) \(count)\(total.map { " of \($0)" } ?? "") keys")
    }

    func end(_ line: String) { say(line) }
}
