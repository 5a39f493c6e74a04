// Owns: who a Pine says is there: from its first answer on, and as others come and go.
import Bytes
import EtcdAPI
import TestSupport
import Testing

@Suite("Members", .ownThreads)
struct MembersTests {
    private func members(_ pine: PineProcess, linearizable: Bool = false) throws -> [Member] {
        let client = try EtcdClient(port: pine.port)
        let list: MemberListResponse = try client.call(.memberList, MemberListRequest(linearizable: linearizable))
        return list.members
    }

    @Test("The first answer names the member that gives it, and knows how large the tables are; who joins is named by all at once")
    func first() throws {
        let connection = try PostgresServer.shared().newDatabase()
        var pines: [PineProcess] = []
        for name in ["a", "b", "c"] {
            let pine = try PineProcess(["--postgres", connection, "--name", name])
            pines.append(pine)
            // The new one's first answer, and then the others'.
            for asked in pines.reversed() {
                let names = try members(asked, linearizable: true).map(\.name).map { String(decoding: $0, as: UTF8.self) }
                #expect(names.sorted() == pines.indices.map { ["a", "b", "c"][$0] })
            }
            let status: StatusResponse = try EtcdClient(port: pine.port).call(.status, StatusRequest())
            #expect(status.dbSize > 0)
            let own = try members(pine).first { $0.id == status.header?.memberID }
            #expect(own?.name == ByteString(name) && own?.clientURLs == [ByteString(pine.endpoint)])
        }
    }

    @Test("A role that may not read or write the table of members serves with itself, and says so in the log")
    func refused() throws {
        let server = try PostgresServer.shared()
        let connection = try server.newDatabase()
        let database = try server.psql("select current_database()", connection: connection)
        let role = "reader_\(database)"
        try server.psql("create role \(role) login", connection: connection)
        let done = try PineProcess.run(["migrate", "--postgres", connection, "--grant-to", role])
        #expect(done.exit == .exited(0), "\(done.stderr)")
        try server.psql("revoke all on pine.member from \(role)", connection: connection)
        let pine = try PineProcess(["--postgres", server.connectionString(database: database, user: role), "--name", "alone"])
        let client = try EtcdClient(port: pine.port)
        _ = try client.put("k", "v")
        #expect(try members(pine).map(\.name) == ["alone"])
        #expect(pine.log.contains("could not list the members"))
    }
}
