// Owns: who a server runs as when the tests run as root. Must never: change this process's own identity.
package import Glibc

/// A user without rights, for programs that refuse to run as root.
package struct UnprivilegedUser: Sendable {
    package let name: String
    package let uid: uid_t
    package let gid: gid_t

    /// The user to drop to: `postgres` where it exists, else `nobody`; nil where this process is not root.
    package static func whenRoot() throws -> UnprivilegedUser? {
        guard geteuid() == 0 else { return nil }
        for name in ["postgres", "nobody"] {
            guard let entry = getpwnam(name) else { continue }
            return UnprivilegedUser(name: name, uid: entry.pointee.pw_uid, gid: entry.pointee.pw_gid)
        }
        throw TestSupportError("neither a user `postgres` nor a user `nobody` exists: PostgreSQL refuses to run as root")
    }

    /// The command that runs `executable` as this user, replacing itself by it, so that the process identifier stays.
    func command(_ executable: String, _ arguments: [String]) throws -> (String, [String]) {
        let setpriv = try findExecutable(
            "setpriv", in: ["/usr/bin", "/bin"], install: "install util-linux (it drops root's rights for PostgreSQL)")
        return (setpriv, ["--reuid=\(uid)", "--regid=\(gid)", "--clear-groups", "--", executable] + arguments)
    }

    /// Gives `path` itself, not what is in it, to this user.
    package func own(_ path: String) throws {
        guard chown(path, uid, gid) == 0 else {
            throw TestSupportError("can't give \(path) to \(name): \(String(cString: strerror(errno)))")
        }
    }
}
