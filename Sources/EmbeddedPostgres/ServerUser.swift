// Owns: who PostgreSQL runs as. Must never: be root, which PostgreSQL refuses.
internal import Glibc

/// The user that PostgreSQL and its tools run as: ourselves, or, where we are root, somebody without rights.
struct ServerUser: Equatable, Sendable {
    let uid: uid_t
    let gid: gid_t

    /// Ourselves where we aren't root. Otherwise the owner of the cluster, of the data directory, `postgres` or `nobody`, whichever
    /// comes first and isn't root: so a cluster keeps its user, and a folder that belongs to a user stays theirs.
    static func choose(cluster: Files.Status?, dataDirectory: Files.Status?) throws(EmbeddedPostgresError) -> ServerUser {
        guard geteuid() == 0 else { return ServerUser(uid: geteuid(), gid: getegid()) }
        if let cluster, cluster.owner != 0 { return ServerUser(uid: cluster.owner, gid: cluster.group) }
        // initdb wants to know its user's name, which the owner of a container's volume may lack.
        if let dataDirectory, dataDirectory.owner != 0, getpwuid(dataDirectory.owner) != nil {
            return ServerUser(uid: dataDirectory.owner, gid: dataDirectory.group)
        }
        for name in ["postgres", "nobody"] {
            if let entry = getpwnam(name) { return ServerUser(uid: entry.pointee.pw_uid, gid: entry.pointee.pw_gid) }
        }
        throw EmbeddedPostgresError(
            .startFailed,
            "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`; start pine as another user")
    }

    var name: String {
        getpwuid(uid).map { String(cString: $0.pointee.pw_name) } ?? "uid \(uid)"
    }

    /// Whether a program has to change its identity to run as this user.
    var isAnother: Bool { uid != geteuid() }

    /// The command that runs `executable` as this user with no other group, and becomes it, so that the process stays the same.
    ///
    /// By setpriv, not by swift-subprocess's own `userID`: that forks with a bare clone3 and then calls glibc's setgroups,
    /// which waits for the threads it still has on its list. Started while another thread begins, the child hangs for ever.
    func command(_ executable: String, _ arguments: [String]) throws(EmbeddedPostgresError) -> (String, [String]) {
        guard isAnother else { return (executable, arguments) }
        for setpriv in ["/usr/bin/setpriv", "/bin/setpriv"] where access(setpriv, X_OK) == 0 {
            return (setpriv, ["--reuid=\(uid)", "--regid=\(gid)", "--clear-groups", "--", executable] + arguments)
        }
        throw EmbeddedPostgresError(
            .startFailed,
            "setpriv is missing, which lets PostgreSQL run as \(name): install util-linux, or start pine as another user than root"
        )
    }

    /// Gives `path` itself, not what is in it, to this user.
    func own(_ path: String) throws(EmbeddedPostgresError) {
        guard isAnother else { return }
        guard lchown(path, uid, gid) == 0 else {
            throw EmbeddedPostgresError(.folderUnusable, "can't give \(path) to the user \(name): \(Files.lastError)")
        }
    }
}
