// Owns: who PostgreSQL runs as. Must never: be root, which PostgreSQL refuses.
internal import Glibc
internal import Subprocess

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

    /// A session of its own, so that Ctrl-C in our terminal reaches us only; and this user's identity without any other group.
    var platformOptions: PlatformOptions {
        var options = PlatformOptions()
        options.createSession = true
        if isAnother {
            options.userID = uid
            options.groupID = gid
            options.supplementaryGroups = []
        }
        return options
    }

    /// Gives `path` itself, not what is in it, to this user.
    func own(_ path: String) throws(EmbeddedPostgresError) {
        guard isAnother else { return }
        guard lchown(path, uid, gid) == 0 else {
            throw EmbeddedPostgresError(.folderUnusable, "can't give \(path) to the user \(name): \(Files.lastError)")
        }
    }
}
