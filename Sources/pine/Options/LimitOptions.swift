// Owns: the flags that bound what a client may ask for.
import ArgumentParser
import PineServer

struct LimitOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The largest request.", valueName: "bytes"))
    var maxRequestBytes = ByteCount(1_572_864)

    @Option(help: ArgumentHelp("The most operations in a transaction.", valueName: "count"))
    var maxTxnOps = PositiveCount(128)

    @Option(help: ArgumentHelp("The most calls that a client may have open on one connection.", valueName: "count"))
    var maxConcurrentStreams = PositiveCount(100_000)

    func validate() throws {
        guard maxRequestBytes.count >= 1 else { throw ValidationError("--max-request-bytes must be at least 1") }
        guard maxRequestBytes.count <= maxRequestByteLimit else {
            throw ValidationError(
                "--max-request-bytes is \(maxRequestBytes.count), more than a row of PostgreSQL can hold; "
                    + "it must be at most \(maxRequestByteLimit)")
        }
    }

    func apply(to configuration: inout ServerConfiguration) {
        configuration.maxRequestBytes = maxRequestBytes.count
        configuration.maxTxnOps = maxTxnOps.count
        configuration.maxConcurrentStreams = maxConcurrentStreams.count
    }
}

/// A row holds a key and a value, and PostgreSQL takes 1 GiB in a message or a value.
private let maxRequestByteLimit = 512 << 20
