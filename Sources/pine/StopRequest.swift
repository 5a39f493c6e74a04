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
        Task { [stream] in
            for await _ in stream { _exit(130) }
        }
    }
}
