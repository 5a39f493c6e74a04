// Owns: the flags that say what is served over HTTP beside gRPC, and to whom.
import ArgumentParser
import Foundation
import PineServer

struct HTTPOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Serve the JSON gateway at /v3/ on the client addresses.", valueName: "true|false"))
    var enableGrpcGateway = true

    @Option(
        help: ArgumentHelp(
            "The sites whose pages may read answers over HTTP (CORS), comma-separated, as https://app.example. Empty or *: all.",
            valueName: "urls"))
    var cors = NameList("*")

    @Option(
        help: ArgumentHelp(
            "The host names by which clients without TLS may ask over HTTP, comma-separated. Empty or *: all.", valueName: "hosts"))
    var hostWhitelist = NameList("*")

    func apply(to configuration: inout ServerConfiguration) {
        configuration.servesJSON = enableGrpcGateway
        configuration.allowedOrigins = cors.names
        configuration.allowedHosts = hostWhitelist.names
    }
}

/// Names, comma-separated.
struct NameList: ExpressibleByArgument {
    let names: [String]

    init(argument: String) {
        names = argument.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }

    init(_ name: String) { names = [name] }

    var defaultValueDescription: String { names.joined(separator: ",") }
}
