// Owns: Pine being killed at any moment of its private PostgreSQL's start.
import Foundation
import Glibc
import TestSupport
import Testing

@Suite("A private PostgreSQL without its Pine", .serialized, .ownThreads)
struct OrphanTests {
    /// The processes that were given a folder, or work in it.
    private func processes(of folder: String) -> [pid_t] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { pid_t($0) }.filter { process in
            guard ProcessTable.isAlive(process) else { return false }
            if contents(of: "/proc/\(process)/cmdline").contains(folder) { return true }
            return (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/cwd"))?.hasPrefix(folder) == true
        }
    }

    @Test("ends, whenever in its start Pine is killed")
    func killedWhileStarting() throws {
        let folder = try TemporaryFolder()
        let data = folder.file("data")
        let first = try PineProcess(["--data-dir", data])
        first.kill(SIGTERM)
        try first.waitForExit()
        for delayMs in [0, 1, 2, 3, 5, 8, 13, 30, 80, 200] {
            let pine = try PineProcess(["--data-dir", data], waitReady: false)
            // The gate, which names the cluster, or PostgreSQL itself.
            try eventuallyBlocking("PostgreSQL's process") {
                processes(of: "\(data)/postgres/data").contains { $0 != pine.processIdentifier } || !pine.isRunning
            }
            usleep(UInt32(delayMs) * 1_000)
            pine.kill(SIGKILL)
            try pine.waitForExit()
            try eventuallyBlocking("the end of all that Pine had started, killed after \(delayMs) ms", timeout: .seconds(60)) {
                processes(of: data).isEmpty
            }
        }
        // Nothing that is left keeps the next one from starting.
        let last = try PineProcess(["--data-dir", data])
        last.kill(SIGTERM)
        #expect(try last.waitForExit() == .exited(0))
    }
}
