// Owns: the cluster that every PostgresServer is a copy of, made once a process; where PostgreSQL's programs are.
// Must never: be started itself.
internal import Foundation
internal import Glibc

enum PostgresTemplate {
    static let folder = Result { try make() }

    private static let binaries = Result { try findBinaries() }

    static func binary(_ name: String) throws -> String {
        let path = try "\(binaries.get())/\(name)"
        guard access(path, X_OK) == 0 else {
            throw TestSupportError("\(path) is missing: apt-get install postgresql postgresql-client")
        }
        return path
    }

    /// Settings of every copy. Durable, as Pine wants it, but small.
    private static let settings = """
        fsync = on
        full_page_writes = on
        synchronous_commit = on
        shared_buffers = 16MB
        max_connections = 60
        min_wal_size = 32MB
        max_wal_size = 256MB
        jit = off
        timezone = 'UTC'
        log_timezone = 'UTC'
        # A killed server leaves nothing in /dev/shm this way.
        dynamic_shared_memory_type = mmap

        """

    private static func make() throws -> String {
        let user = try UnprivilegedUser.whenRoot()
        let parent = "\(Watchdog.root)/template"
        guard mkdir(parent, 0o755) == 0 else { throw TestSupportError("can't make \(parent)") }
        try user?.own(parent)
        let data = "\(parent)/data"
        let result = try runCommand(
            try binary("initdb"),
            ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"], user: user)
        guard result.status == 0 else { throw TestSupportError("initdb failed: \(result.stdout)\(result.stderr)") }
        let path = "\(data)/postgresql.conf"
        guard let file = FileHandle(forWritingAtPath: path) else { throw TestSupportError("can't write \(path)") }
        try file.seekToEnd()
        try file.write(contentsOf: Data(settings.utf8))
        try file.close()
        return data
    }

    private static func findBinaries() throws -> String {
        let files = FileManager.default
        let debian = (try? files.contentsOfDirectory(atPath: "/usr/lib/postgresql")) ?? []
        let folders =
            debian.sorted { (Double($0) ?? 0) > (Double($1) ?? 0) }.map { "/usr/lib/postgresql/\($0)/bin" }
            + ["/usr/local/bin", "/opt/homebrew/bin"]
        let install = "apt-get install postgresql (its server programs are needed: initdb, postgres, psql)"
        let initdb = try findExecutable("initdb", in: folders, install: install)
        return String(initdb.dropLast("/initdb".count))
    }

    /// Removes the shared memory segment that a killed server left, noted in its postmaster.pid ("key id").
    static func removeSharedMemory(of dataFolder: String) {
        let lines = contents(of: "\(dataFolder)/postmaster.pid").split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.count > 6, let id = lines[6].split(separator: " ").last.flatMap({ Int32($0) }) else { return }
        shmctl(id, IPC_RMID, nil)
    }
}
