// Owns: the folder of the unix socket. Must never: be one that others can enter, or could have put in place for us.
internal import Glibc

/// Where the socket lies. PostgreSQL's socket has the name `.s.PGSQL.5432` in it.
struct SocketFolder: Sendable {
    static let port = 5432
    /// sun_path of `sockaddr_un` holds 108 bytes, the last of them zero.
    static let pathLimit = 107

    let path: String
    /// Whether it lies outside of the data directory, and so has to go with the server.
    let isTemporary: Bool
    private let user: ServerUser

    /// Whether a socket in the folder can be named: its path is short enough, and free of the comma that parts hosts for libpq.
    static func fits(_ folder: String) -> Bool {
        "\(folder)/.s.PGSQL.\(port)".utf8.count <= pathLimit && !folder.contains(",")
    }

    /// `postgres/run` in the data directory, emptied; where its path doesn't fit, a private folder in $XDG_RUNTIME_DIR or /tmp.
    init(_ cluster: Cluster, runtimeFolder: String? = getenv("XDG_RUNTIME_DIR").map { String(cString: $0) })
        throws(EmbeddedPostgresError)
    {
        user = cluster.user
        if Self.fits(cluster.runFolder) {
            path = cluster.runFolder
            isTemporary = false
        } else {
            path = try Self.short(cluster, runtimeFolder: runtimeFolder)
            isTemporary = true
        }
        // A socket's lock file names a process; after a crash its number may belong to another, which PostgreSQL would respect.
        try user.withFileRights { () throws(EmbeddedPostgresError) in
            for name in Files.list(path) { try Files.remove("\(path)/\(name)") }
        }
    }

    private static func short(_ cluster: Cluster, runtimeFolder: String?) throws(EmbeddedPostgresError) -> String {
        let user = cluster.user
        let name = "pine-\(user.uid)-\(hash(cluster.dataDirectory))"
        // Not TMPDIR, which may be long: a socket's path has a hundred bytes or so.
        var bases = ["/tmp"]
        if let runtimeFolder, !user.isAnother, Files.status(runtimeFolder)?.owner == user.uid {
            bases.insert(runtimeFolder, at: 0)
        }
        for base in bases where fits("\(base)/\(name)") {
            let path = "\(base)/\(name)"
            if mkdir(path, 0o700) == 0 {
                try user.own(path)
                return path
            }
            // Left from a crash, unless somebody else made it, or a link to it.
            if let found = Files.status(path, ofLink: true), found.isFolder, found.owner == user.uid, found.mode & 0o077 == 0 {
                return path
            }
        }
        // Somebody holds every name that could be known beforehand: one that can't, in the same place, for the same reason.
        var template = Array("/tmp/pine-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else {
            throw EmbeddedPostgresError(
                .folderUnusable,
                "can't make a folder for PostgreSQL's socket under /tmp: \(Files.lastError); choose a shorter --data-dir")
        }
        let path = String(cString: made)
        try user.own(path)
        return path
    }

    /// Takes a temporary folder away once the server is gone.
    func remove() {
        if isTemporary { _ = user.withFileRights { rmdir(path) } }
    }

    /// FNV-1a of the path, so that a restarted Pine finds its folder again.
    private static func hash(_ text: String) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return String(hash, radix: 36)
    }
}
