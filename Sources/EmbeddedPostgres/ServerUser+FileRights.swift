// Owns: touching files of PostgreSQL's user with that user's rights, where we are root.
// Must never: go on as root inside of `withFileRights`, or as the user after it; start a thread inside of it, which would keep the user's
// rights, so nothing is done there but system calls.
//
// Whoever owns a folder can put a symbolic or hard link into it at any moment, between a check and a use as well. With root's rights each
// of them leads to any file of the machine; with the user's own it leads where the user can go anyway. The kernel keeps these rights a
// thread (setfsuid(2)), so other threads notice nothing.
internal import Bytes
internal import CFileRights
internal import Glibc

extension ServerUser {
    /// The owner of a folder, ourselves where there is none.
    static func owner(of folder: String) -> ServerUser {
        guard let found = Files.status(folder) else { return ServerUser(uid: geteuid(), gid: getegid()) }
        return ServerUser(uid: found.owner, gid: found.group)
    }

    /// Throws where we are root and yet may not take this user's place.
    func requireFileRights() throws(EmbeddedPostgresError) {
        guard let taken = take() else {
            throw EmbeddedPostgresError(
                .startFailed,
                "pine may not act as the user \(name) (it lacks CAP_SETUID or CAP_SETGID); start pine as another user than root")
        }
        taken.giveBack()
    }

    /// Runs `body` with this user's rights to files, where we are root; otherwise with our own.
    func withFileRights<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        guard let taken = take() else { violated("the rights of another user to files, which were had before, can't be had") }
        defer { taken.giveBack() }
        return try body()
    }

    /// What the thread had before.
    private struct Taken {
        var groups: [gid_t]?
        var wasDumpable = false

        func giveBack() {
            guard let groups else { return }
            let isBack =
                pine_set_file_user(geteuid()) != 0 && pine_set_file_group(getegid()) != 0 && pine_set_groups(groups.count, groups) == 0
            invariant(isBack, "root's rights to files can't be had back")
            if wasDumpable { pine_be_dumpable() }
        }
    }

    /// nil where it can't be done; then nothing has changed.
    private func take() -> Taken? {
        guard isAnother, geteuid() == 0 else { return Taken() }
        let count = getgroups(0, nil)
        guard count >= 0 else { return nil }
        var groups = [gid_t](repeating: 0, count: Int(count))
        guard getgroups(count, &groups) == count else { return nil }
        let taken = Taken(groups: groups, wasDumpable: pine_is_dumpable() != 0)
        // The group before the user: afterwards there is no right to it.
        guard pine_set_groups(0, nil) == 0 else { return nil }
        guard pine_set_file_group(gid) != 0, pine_set_file_user(uid) != 0 else {
            taken.giveBack()
            return nil
        }
        return taken
    }
}
