// Owns: the flags that say what is kept, and how much.
import ArgumentParser
import PineServer

struct UpkeepOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            What --auto-compaction-retention counts: periodic for time, revision for revisions. One of the processes on a database \
            compacts for all; tell all the same.
            """, valueName: "mode"))
    var autoCompactionMode = "periodic"

    @Option(
        help: ArgumentHelp(
            "What automatic compaction keeps: 30m, 12h or a bare number of hours; or so many revisions. 0 turns it off.",
            valueName: "retention"))
    var autoCompactionRetention = "0"

    @Option(
        help: ArgumentHelp(
            """
            How much the store may take in the database before it refuses writes. 0 is no bound. Deleting and compacting makes \
            space at once.
            """, valueName: "bytes"))
    var quotaBackendBytes = ByteCount(0)

    @Option(
        help: ArgumentHelp(
            """
            How much memory values may take. Keys are always in memory; values that have no room are read from PostgreSQL when \
            they are wanted. The default is a quarter of the memory.
            """, valueName: "bytes"))
    var valueCacheBytes: ByteCount?

    func validate() throws {
        var configuration = ServerConfiguration(listenURLs: [])
        do throws(ServerError) {
            try configuration.setAutoCompaction(mode: autoCompactionMode, retention: autoCompactionRetention)
        } catch {
            throw ValidationError(error.message)
        }
    }

    func apply(to configuration: inout ServerConfiguration) throws(ServerError) {
        try configuration.setAutoCompaction(mode: autoCompactionMode, retention: autoCompactionRetention)
        if let valueCacheBytes { configuration.valueCacheBytes = valueCacheBytes.count }
        configuration.quotaBackendBytes = Int64(quotaBackendBytes.count)
    }
}
