internal import Foundation
internal import TestSupport
internal import Testing

@Suite("Threads of tests", .ownThreads)
struct OwnThreadsTests {
    @Test("A test that blocks, and its child tasks, have threads of their own; other tasks get on meanwhile")
    func blocking() async throws {
        #expect(OwnThreads.isCurrent)
        // More than any machine has cores: each blocks until a task of Swift's pool says that the last one does, too.
        let count = 100
        let release = DispatchSemaphore(value: 0)
        let blocked = DispatchSemaphore(value: 0)
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<count {
                group.addTask { Self.block(blocked, release) }
            }
            Task.detached { Self.passOn(count, blocked, release) }
            for try await isOwn in group { #expect(isOwn) }
        }
    }

    private static func block(_ blocked: DispatchSemaphore, _ release: DispatchSemaphore) -> Bool {
        blocked.signal()
        release.wait()
        return OwnThreads.isCurrent
    }

    private static func passOn(_ count: Int, _ blocked: DispatchSemaphore, _ release: DispatchSemaphore) {
        for _ in 0..<count { blocked.wait() }
        for _ in 0..<count { release.signal() }
    }

    @Test("Every suite of tests that may block has threads of its own")
    func everySuite() throws {
        let folder = "\(TestEnvironment.packageRoot)/Tests"
        let files = try #require(FileManager.default.enumerator(atPath: folder)).compactMap { $0 as? String }
        for file in files where file.hasSuffix("Tests.swift") {
            let text = contents(of: "\(folder)/\(file)")
            guard text.contains("import TestSupport") else { continue }
            for line in text.split(separator: "\n") where line.hasPrefix("@Suite") {
                #expect(line.contains(".ownThreads"), "\(file) needs .ownThreads: \(line)")
            }
        }
    }
}
