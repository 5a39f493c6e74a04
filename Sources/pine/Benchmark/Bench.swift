// Owns: `pine bench`: its flags, its progress line, and where the results go.
import ArgumentParser
import EtcdClient
import Foundation
import PineBench
import TLS

struct Bench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure an etcd or a Pine under load.",
        discussion: """
            One server:

              pine bench put
              pine bench get --keys 100000 --duration 30
              pine bench watch --watchers 1000 --rate 500
              pine bench kubernetes --nodes 1000

            Several, in turn, with the ratios of their figures:

              pine bench compare put get list:keys=10000 --endpoint etcd=http://127.0.0.1:2379 --endpoint pine=http://127.0.0.1:2380

            Keys go below --prefix and stay there for the next run. Nobody else should write there meanwhile: every answer is \
            checked, and one that is wrong or an error ends the command with status 1.
            """,
        subcommands: [BenchOne.self, BenchCompare.self], defaultSubcommand: BenchOne.self)
}

/// Parses endpoints, which are separated by commas.
func endpoints(_ text: String, _ tls: EndpointTLSOptions) throws -> [Endpoint] {
    let endpoints = try text.split(separator: ",").map { try tls.endpoint($0.trimmingCharacters(in: .whitespaces)) }
    guard !endpoints.isEmpty else { throw UsageError("there is no endpoint in \"\(text)\"") }
    return endpoints
}

/// The processes of these numbers; if there are none, the one on this machine that listens where the endpoint says.
func processes(_ numbers: [Int], _ endpoints: [Endpoint]) -> ServerProcesses? {
    if !numbers.isEmpty { return ServerProcesses(numbers) }
    let ports = endpoints.compactMap { endpoint -> Int? in
        guard case .host(let host, let port) = endpoint.address, ["127.0.0.1", "localhost", "::1"].contains(host) else { return nil }
        return port
    }
    guard ports.count == endpoints.count else { return nil }
    let found = ports.compactMap { ServerProcesses(listeningOn: $0) }
    return found.count == ports.count ? ServerProcesses(found.flatMap(\.roots)) : nil
}

/// Runs `body`; what goes wrong is one line and status 1.
func failing(_ output: BenchOutput, _ body: () async throws -> Bool) async throws {
    let isGood: Bool
    do {
        isGood = try await body()
    } catch let error as BenchError {
        output.endProgress()
        tell("pine bench: \(error.message)\n")
        throw ExitCode.failure
    } catch let error as UsageError {
        throw error
    } catch {
        output.endProgress()
        tell("pine bench: \(error)\n")
        throw ExitCode.failure
    }
    if !isGood { throw ExitCode.failure }
}
