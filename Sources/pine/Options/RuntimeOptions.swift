// Owns: the flags that tune how a member runs.
import ArgumentParser
import PineServer

struct RuntimeOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Event loops. The default is one a core.", valueName: "count"))
    var eventLoops: PositiveCount?

    @Option(
        help: ArgumentHelp(
            "The longest time between two looks for other processes' writes: 50ms to 60s. Shorter while there are any.",
            valueName: "duration"))
    var pollInterval = Milliseconds("1s")

    @Option(
        help: ArgumentHelp(
            "How long a watch that asked for progress notifications may hear nothing. At least 100ms.", valueName: "duration"))
    var watchProgressNotifyInterval = Milliseconds("10m")

    @Option(help: ArgumentHelp("How long calls under way may take to end when the server is told to stop.", valueName: "duration"))
    var shutdownGrace = Milliseconds("10s")

    func validate() throws {
        guard (50...60_000).contains(pollInterval.count) else {
            throw ValidationError("--poll-interval must be between 50ms and 60s, not \(pollInterval.description)")
        }
    }

    func apply(to configuration: inout ServerConfiguration) {
        configuration.eventLoops = eventLoops?.count
        configuration.pollIntervalMs = pollInterval.count
        configuration.watchProgressIntervalMs = max(watchProgressNotifyInterval.count, 100)
    }
}
