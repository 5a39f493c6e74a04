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

    @Option(
        help: ArgumentHelp(
            "How long a request waits for PostgreSQL before it fails with UNAVAILABLE, where its client would wait longer.",
            valueName: "duration"))
    var requestTimeout = Milliseconds("7s")

    @Option(
        help: ArgumentHelp(
            "Calls that take as long are logged, with where the time went: waiting for their turn, for PostgreSQL, or for the answer "
                + "to be made.", valueName: "duration"))
    var warningUnaryRequestDuration = Milliseconds("300ms")

    @Option(help: ArgumentHelp("Statements that PostgreSQL takes as long to answer are logged.", valueName: "duration"))
    var warningSqlDuration = Milliseconds("500ms")

    func validate() throws {
        guard (50...60_000).contains(pollInterval.count) else {
            throw ValidationError("--poll-interval must be between 50ms and 60s, not \(pollInterval.description)")
        }
    }

    func apply(to configuration: inout ServerConfiguration) {
        configuration.eventLoops = eventLoops?.count
        configuration.pollIntervalMs = pollInterval.count
        configuration.requestTimeoutMs = max(requestTimeout.count, 1)
        configuration.slowRequestMs = warningUnaryRequestDuration.count
        configuration.slowStatementMs = warningSqlDuration.count
        configuration.watchProgressIntervalMs = max(watchProgressNotifyInterval.count, 100)
    }
}
