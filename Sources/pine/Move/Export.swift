// Owns: `pine export`: moving a store out of any etcd.
import ArgumentParser
import EtcdClient
import Moving

struct Export: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write all keys of an etcd or a Pine, at one revision, into a file.",
        discussion: """
              pine export --endpoint http://etcd:2379 store.pine
              pine import --endpoint http://pine:2379 store.pine --verify

            Keys come with their values and leases. Run again with a file that is not complete, the export goes on where it \
            ended, at the same revision.
            """)

    @Option(help: ArgumentHelp("The etcd or Pine to read.", valueName: "url"))
    var endpoint = "http://127.0.0.1:2379"

    @OptionGroup(title: "TLS") var tls: EndpointTLSOptions

    @Argument(help: "The file to write.")
    var file: String

    func run() async throws {
        try await moving {
            let connection = try await connect(endpoint, tls)
            defer { connection.close() }
            var writer = try ExportWriter(path: file)
            var pages = try await EtcdPages(connection, revision: writer.revision, after: writer.lastKey, leases: writer.leases)
            if writer.revision == nil { try writer.begin(revision: pages.revision) }
            var progress = MoveProgress("exported", total: pages.keyCount)
            while let page = try await pages.next() {
                try writer.append(page)
                progress.show(Int(writer.keyCount))
            }
            guard writer.keyCount == pages.keyCount else {
                throw MoveError("the server says that there are \(pages.keyCount) keys, but gave \(writer.keyCount)")
            }
            try writer.finish()
            progress.end("exported \(writer.keyCount) keys at revision \(pages.revision) to \(file)")
        }
    }
}
