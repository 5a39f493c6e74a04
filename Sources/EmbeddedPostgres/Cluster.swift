// Owns: the folders and files of the private cluster, and making it.
// Must never: leave a cluster under its final name that is not complete; write outside the data directory; touch what is below `postgres/`
// with root's rights.
// Invariant: `postgres/data` exists only once initdb has finished and the database `pine` is in it, since it is renamed into place.
internal import Glibc

/// The private cluster in a data directory:
///
///     DATA/pgpass             the password of `pine`, 0600, as libpq's passfile
///     DATA/postgres/          0700, of the user that PostgreSQL runs as
///     DATA/postgres/data/     the cluster itself, with pine.conf (Pine's settings) and local.conf (the operator's, if any)
///     DATA/postgres/run/      the socket
///     DATA/postgres/log/      what PostgreSQL says
struct Cluster: Sendable {
    static let role = "pine"
    static let database = "pine"

    /// Absolute and without symbolic links.
    let dataDirectory: String
    let user: ServerUser
    /// Whether only we, or root, can have put a link into the data directory.
    private let isOursToLink: Bool

    var folder: String { "\(dataDirectory)/postgres" }
    var data: String { "\(folder)/data" }
    var unfinished: String { "\(folder)/data.new" }
    var logFolder: String { "\(folder)/log" }
    /// What PostgreSQL prints before its own log begins.
    var startLog: String { "\(logFolder)/start.log" }
    var runFolder: String { "\(folder)/run" }
    var passwordFile: String { "\(dataDirectory)/pgpass" }

    /// Finds out who runs the cluster in `dataDirectory`, which exists, and makes its folders reachable for them.
    init(dataDirectory: String) async throws(EmbeddedPostgresError) {
        guard let resolved = realpath(dataDirectory, nil) else {
            throw EmbeddedPostgresError(.folderUnusable, "can't resolve \(dataDirectory): \(Files.lastError)")
        }
        self.dataDirectory = String(cString: resolved)
        free(resolved)
        let outer = Files.status(self.dataDirectory)
        // In a folder of ours a link is the operator's; in another's it could make us run PostgreSQL as anybody.
        isOursToLink = outer?.owner == geteuid()
        let existing = Files.status("\(self.dataDirectory)/postgres", ofLink: !isOursToLink)
        user = try ServerUser.choose(cluster: existing, dataDirectory: outer)
        if let existing, existing.owner != user.uid, geteuid() != 0 {
            let owner = ServerUser(uid: existing.owner, gid: existing.group).name
            throw EmbeddedPostgresError(
                .folderUnusable, "\(folder) belongs to \(owner): start pine as \(owner) or as root, or choose another --data-dir")
        }
        try user.requireFileRights()
        if user.isAnother { try letUserIn() }
        try makeFolder()
        try await checkReachable()
        try user.withFileRights { () throws(EmbeddedPostgresError) in
            for path in [logFolder, runFolder] { try Files.makeFolder(path, mode: 0o700) }
        }
    }

    /// A data directory that root made is opened, to be entered only, for PostgreSQL's group.
    private func letUserIn() throws(EmbeddedPostgresError) {
        let descriptor = open(dataDirectory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        defer { if descriptor >= 0 { close(descriptor) } }
        guard descriptor >= 0, let status = Files.status(of: descriptor) else {
            throw EmbeddedPostgresError(.folderUnusable, "can't look into \(dataDirectory): \(Files.lastError)")
        }
        guard !user.mayEnter(status), status.owner == 0, status.group == 0 || status.group == user.gid else { return }
        guard fchown(descriptor, 0, user.gid) == 0, fchmod(descriptor, status.mode | 0o010) == 0 else {
            throw EmbeddedPostgresError(
                .folderUnusable, "can't open \(dataDirectory) for the user \(user.name): \(Files.lastError)")
        }
    }

    /// Makes the folder `postgres` and gives it to the user, where it is not theirs yet.
    private func makeFolder() throws(EmbeddedPostgresError) {
        _ = mkdir(folder, 0o700)
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (isOursToLink ? 0 : O_NOFOLLOW))
        defer { if descriptor >= 0 { close(descriptor) } }
        guard descriptor >= 0, let status = Files.status(of: descriptor) else {
            throw EmbeddedPostgresError(
                .folderUnusable, "\(folder) is not a folder that can be used: \(Files.lastError); choose another --data-dir")
        }
        // Whoever else it belongs to is the user: see `choose`. What is root's was made here.
        guard user.isAnother, status.owner == 0 else { return }
        guard fchown(descriptor, user.uid, user.gid) == 0 else {
            throw EmbeddedPostgresError(.folderUnusable, "can't give \(folder) to the user \(user.name): \(Files.lastError)")
        }
    }

    /// Has the user try it, since access lists and security modules know more than permission bits.
    private func checkReachable() async throws(EmbeddedPostgresError) {
        let attempt = try await Tool.run("/bin/sh", ["-c", "cd \"$1\" && test -w .", "sh", folder], user: user)
        if attempt.succeeded { return }
        var path = folder
        var culprit = folder
        while path != "/" {
            path = Files.parent(of: path)
            if let status = Files.status(path), !user.mayEnter(status) { culprit = path }
        }
        let mode = Files.status(culprit).map { String($0.mode, radix: 8) } ?? "unknown"
        throw EmbeddedPostgresError(
            .folderUnusable,
            "PostgreSQL runs as the user \(user.name), who can't enter \(culprit) (mode \(mode)): choose a --data-dir elsewhere, for example "
                + "/var/lib/pine, or allow it by chmod o+x \(culprit)")
    }

    // MARK: The cluster itself

    /// The major version that made the cluster, nil where there is none yet.
    func major() throws(EmbeddedPostgresError) -> Int? {
        let (exists, version) = user.withFileRights { (Files.exists(data), Files.read("\(data)/PG_VERSION")) }
        guard exists else { return nil }
        guard let text = version, let major = Int(text.trimmed.prefix { $0 != "." }) else {
            throw EmbeddedPostgresError(
                .folderUnusable, "\(data) is not a PostgreSQL cluster (no PG_VERSION); move it away or choose another --data-dir")
        }
        return major
    }

    /// Makes the cluster. What an interrupted attempt left is deleted first.
    func create(_ binaries: PostgresBinaries) async throws(EmbeddedPostgresError) {
        try user.withFileRights { () throws(EmbeddedPostgresError) in try Files.remove(unfinished) }
        // The password of an earlier cluster: a new one follows once the cluster is in place.
        guard unlink(passwordFile) == 0 || errno == ENOENT else {
            throw EmbeddedPostgresError(.folderUnusable, "can't delete \(passwordFile): \(Files.lastError)")
        }
        let made = try await Tool.run(
            binaries.initdb,
            [
                "-D", unfinished, "-U", Self.role, "--auth=reject", "--encoding=UTF8", "--no-locale", "--data-checksums",
            ], user: user)
        guard made.succeeded else { throw EmbeddedPostgresError(.startFailed, "\(binaries.initdb) failed: \(made.reason)") }
        try user.withFileRights { () throws(EmbeddedPostgresError) in try writeConfiguration() }
        try writeSettings(in: unfinished)
        try await alone(binaries, "create database \(Self.database)", in: unfinished, database: "template1")
        try user.withFileRights { () throws(EmbeddedPostgresError) in
            guard rename(unfinished, data) == 0 else {
                throw EmbeddedPostgresError(.folderUnusable, "can't rename \(unfinished): \(Files.lastError)")
            }
            try Files.syncFolder(folder)
        }
    }

    private func writeConfiguration() throws(EmbeddedPostgresError) {
        try Files.write(
            "\(unfinished)/postgresql.conf",
            """
            # pine.conf is Pine's and is written anew at every start; settings in local.conf win over it.
            include 'pine.conf'
            include_if_exists 'local.conf'

            """, mode: 0o600)
        try Files.write(
            "\(unfinished)/pg_hba.conf",
            """
            # Only over the socket, only with the password in the data directory's pgpass.
            local all all scram-sha-256

            """, mode: 0o600)
    }

    func writeSettings(in data: String) throws(EmbeddedPostgresError) {
        let text = PostgresSettings().text(logFolder: logFolder)
        try user.withFileRights { () throws(EmbeddedPostgresError) in try Files.write("\(data)/pine.conf", text, mode: 0o600) }
    }

    /// Gives the role a new random password where its file is missing. The file is written last: without it this runs again.
    func ensurePassword(_ binaries: PostgresBinaries) async throws(EmbeddedPostgresError) {
        if let descriptor = try Files.openOwn(passwordFile, O_RDONLY) {
            defer { close(descriptor) }
            guard let status = Files.status(of: descriptor), status.mode & 0o077 == 0 || fchmod(descriptor, 0o600) == 0 else {
                throw EmbeddedPostgresError(
                    .folderUnusable, "can't close \(passwordFile), the password of PostgreSQL, to others; delete it to get a new one")
            }
            return
        }
        var random = SystemRandomNumberGenerator()
        let password = (0..<4).map { _ in String(random.next(), radix: 36) }.joined()
        try await alone(binaries, "alter role \(Self.role) password '\(password)'", in: data, database: Self.database)
        try Files.write(passwordFile, "*:*:*:\(Self.role):\(password)\n", mode: 0o600)
    }

    /// Runs one statement in a PostgreSQL that nobody can connect to (single-user mode), before the server is started.
    private func alone(
        _ binaries: PostgresBinaries, _ statement: String, in data: String, database: String
    ) async throws(EmbeddedPostgresError) {
        let result = try await Tool.run(
            binaries.postgres,
            [
                "--single", "-j", "-D", data, "-c", "exit_on_error=on", "-c", "password_encryption=scram-sha-256",
                "-c", "logging_collector=off", "-c", "log_destination=stderr", "-c", "log_min_error_statement=panic", database,
            ], input: "\(statement);\n\n", user: user)
        guard result.succeeded else { throw EmbeddedPostgresError(.startFailed, "PostgreSQL failed: \(result.reason)") }
    }

    // MARK: What the server says

    /// A new, empty file for what PostgreSQL prints before its own log begins. Negative where it can't be made.
    func openStartLog() -> Int32 {
        user.withFileRights {
            unlink(startLog)
            return open(startLog, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        }
    }

    /// The last line that tells why the server ended, from what it printed and from its newest log.
    func lastWords() -> String { user.withFileRights { findLastWords() } }

    private func findLastWords() -> String {
        let logs = Files.list(logFolder).map { "\(logFolder)/\($0)" }.filter { $0 != startLog }
        func modified(_ path: String) -> Int {
            var found = stat()
            return stat(path, &found) == 0 ? found.st_mtim.tv_sec : 0
        }
        let newest = logs.max { modified($0) < modified($1) }
        for path in [startLog, newest].compactMap({ $0 }) {
            let lines = (Files.read(path) ?? "").split(separator: "\n").suffix(200)
            for line in lines.reversed() {
                // Without the time and the process before it.
                for severity in ["FATAL:  ", "PANIC:  "] {
                    if let found = line.firstRange(of: severity) { return line[found.upperBound...].trimmed }
                }
            }
        }
        return "see \(logFolder)"
    }
}

extension ServerUser {
    /// Whether the permission bits let this user, without further groups, enter the folder.
    func mayEnter(_ status: Files.Status) -> Bool {
        if status.owner == uid { return status.mode & 0o100 != 0 }
        if status.group == gid { return status.mode & 0o010 != 0 }
        return status.mode & 0o001 != 0
    }
}
