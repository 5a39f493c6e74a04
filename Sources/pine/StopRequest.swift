// Owns: hearing that the process should stop.
import Dispatch
import Foundation
import Logging

/// SIGTERM and SIGINT from its creation on. A second one ends the process at once.
struct StopRequest {
    private let stream: AsyncStream<Int32>
    private let sources: [any DispatchSourceSignal]

    init() {
        let (stream, continuation) = AsyncStream.makeStream(of: Int32.self)
        self.stream = stream
        sources = [SIGTERM, SIGINT].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number)
            source.setEventHandler { continuation.yield(number) }
            source.resume()
            return source
        }
    }

    /// Returns at the first signal.
    func wait(_ logger: Logger) async {
        var signals = stream.makeAsyncIterator()
        guard let first = await signals.next() else { return }
        logger.info("stopping; a second signal stops at once", metadata: ["signal": "\(first == SIGTERM ? "SIGTERM" : "SIGINT")"])
        let heard = ContinuousClock.now
        Task { [stream] in
            // Programs that run others, such as timeout, send on what a terminal has sent us already: that is one and the same.
            for await _ in stream where ContinuousClock.now - heard > .milliseconds(500) { _exit(130) }
        }
    }
}
