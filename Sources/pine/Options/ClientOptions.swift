// Owns: the flags that say where clients find this member.
import ArgumentParser
import PineServer

struct ClientOptions: ParsableArguments {
    @Option(help: ArgumentHelp("This member's name, for MemberList.", valueName: "name"))
    var name = "default"

    @Option(
        help: ArgumentHelp(
            "Where to listen, comma-separated: http://host:port, https://host:port, unix:///path or unixs:///path. Port 0 takes a "
                + "free one and says which.",
            valueName: "urls"))
    var listenClientUrls = AddressList("http://127.0.0.1:2379")

    @Option(help: ArgumentHelp("Where clients reach this member. The default is where it listens.", valueName: "urls"))
    var advertiseClientUrls: AddressList?

    @Option(
        help: ArgumentHelp(
            "Further addresses for /metrics, /health, /livez and /readyz alone, comma-separated. The client addresses serve them, too.",
            valueName: "urls"))
    var listenMetricsUrls: AddressList?

    @Option(
        help: ArgumentHelp(
            "How long a client may be silent before it is pinged. 0s: it is never.", valueName: "duration"))
    var grpcKeepaliveInterval = Milliseconds("2h")

    @Option(help: ArgumentHelp("How long a client may take to answer such a ping before it is closed.", valueName: "duration"))
    var grpcKeepaliveTimeout = Milliseconds("20s")

    @Option(help: ArgumentHelp("The least time between two pings of a client; one that pings more often is closed.", valueName: "duration"))
    var grpcKeepaliveMinTime = Milliseconds("5s")

    func validate() throws {
        for url in advertiseClientUrls?.urls ?? [] where !["http://", "https://", "unix://", "unixs://"].contains(where: url.hasPrefix) {
            throw ValidationError("--advertise-client-urls \(url) is not a URL that a client could use, as http://pine-1:2379")
        }
    }

    func apply(to configuration: inout ServerConfiguration) {
        configuration.name = name
        configuration.advertisedURLs = advertiseClientUrls?.urls
        configuration.metricsURLs = listenMetricsUrls?.urls ?? []
        configuration.keepAliveIntervalMs = grpcKeepaliveInterval.count
        configuration.keepAliveTimeoutMs = grpcKeepaliveTimeout.count
        configuration.keepAliveMinTimeMs = grpcKeepaliveMinTime.count
    }
}
