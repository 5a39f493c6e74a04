// Owns: the folder under which this test process keeps everything, and the shell that cleans up after it.
// Must never: outlive the test process by more than it takes to kill its servers and delete its folder.
//
// The shell waits at the end of a pipe whose other end only this process holds. However this process ends (it returns,
// it traps, somebody kills it), the pipe closes, and the shell kills the process groups noted in `pids/` and every
// PostgreSQL whose postmaster.pid lies under the folder, then deletes the folder. PR_SET_PDEATHSIG would not do: it
// fires when the *thread* that started the child ends, and the threads of Swift's pool come and go.
internal import Foundation
internal import Glibc

package enum Watchdog {
    /// The folder of this test process, made at the first use. Short, since the paths of unix sockets end at 107 bytes.
    package static let root: String = {
        do {
            return try start()
        } catch {
            // A lazy global can't throw, and no test that needs a server can go on.
            fatalError("\(error)")
        }
    }()

    /// Has the process group `group` killed when this process ends.
    static func watch(_ group: pid_t) {
        _ = FileManager.default.createFile(atPath: "\(root)/pids/\(group)", contents: nil)
    }

    static func forget(_ group: pid_t) {
        unlink("\(root)/pids/\(group)")
    }

    private static let script = """
        trap '' HUP INT TERM PIPE
        cat >/dev/null
        for pid in $(ls "$1/pids"); do kill -s KILL -- "-$pid"; done
        for file in $(find "$1" -name postmaster.pid); do
            kill -s KILL "$(head -n 1 "$file")"
            # Line 7 is "key id" of the shared memory segment, which outlives a killed server.
            ipcrm -m "$(sed -n 's/.* //; 7p' "$file")"
        done
        # Small disks that tests have mounted there, whose servers are gone by now.
        while read -r device folder rest; do case $folder in "$1"/*) umount -l "$folder";; esac; done </proc/mounts
        for attempt in 1 2 3 4 5; do rm -rf "$1" && exit 0; sleep 1; done
        """

    private static func start() throws -> String {
        var template = Array("/tmp/pine-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else {
            throw TestSupportError("can't make a folder under /tmp: \(String(cString: strerror(errno)))")
        }
        let root = String(cString: made)
        // Servers that run as another user have to reach their folders in it.
        guard chmod(root, 0o755) == 0, mkdir("\(root)/pids", 0o700) == 0 else {
            throw TestSupportError("can't set up \(root): \(String(cString: strerror(errno)))")
        }
        var pipe: [Int32] = [-1, -1]
        guard Glibc.pipe(&pipe) == 0 else { throw TestSupportError("pipe: \(String(cString: strerror(errno)))") }
        for end in pipe { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        _ = try spawn(
            "/bin/sh", ["-c", script, "pine-watchdog", root], environment: nil, workingDirectory: "/", input: pipe[0],
            output: nil, error: nil, newSession: true)
        close(pipe[0])
        // The write end stays open for as long as this process lives.
        return root
    }
}
