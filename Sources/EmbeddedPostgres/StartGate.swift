// Owns: holding PostgreSQL back until its death watch knows it.
// Must never: let it start where Pine is gone.
//
//     Pine                          child                         death watch
//     starts it ------------------> setpriv, as root              (runs already)
//     sees it there <-- a line ---- sh, as the user: waits
//     names it --------------------------------------------------> process
//     opens -- a line ------------> sh becomes postgres
//
// Killed before the last line, Pine closes the gate, and the child ends without having become PostgreSQL; killed after it, the watch knows
// the child, and may signal it, since both are the user's.
internal import Glibc

struct StartGate: ~Copyable {
    /// What the child reads from, on its standard input. Whoever starts the child closes it.
    let input: Int32
    private let output: Int32

    init() throws(EmbeddedPostgresError) { (output, input) = try DeathWatch.socketPair() }

    deinit { close(output) }

    private static let script = "echo >&0 && read -r line && exec \"$@\" </dev/null"

    /// The command that waits behind the gate and becomes `executable`, so that the process stays the same.
    static func command(_ executable: String, _ arguments: [String], user: ServerUser) throws(EmbeddedPostgresError) -> (String, [String]) {
        try user.command("/bin/sh", ["-c", script, "pine-start-gate", executable] + arguments)
    }

    /// Whether the child is there.
    var isReached: Bool {
        var byte: UInt8 = 0
        return recv(output, &byte, 1, Int32(MSG_DONTWAIT)) == 1
    }

    func open() { _ = send(output, "\n", 1, Int32(MSG_NOSIGNAL)) }
}
