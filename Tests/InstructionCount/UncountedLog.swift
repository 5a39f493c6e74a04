// Owns: the log of the server that is counted: PostgreSQL's part, at no cost.
import Keyspace
import LogModel
import Replica

/// Where the counting is switched off again: callgrind knows it by its mangled name, too.
@inline(never)
private func uncounted(_ log: UnsafeMutableRawPointer) {
    Unmanaged<UncountedLog>.fromOpaque(log).takeUnretainedValue().answer()
}

final class UncountedLog {
    /// Whether counting is on. Where it is off, callgrind would switch it on.
    var isCounting = false
    private let log: MemoryLog
    private var command = LogCommand.readHead
    private var event: LogEvent?

    init() {
        // With a key, as stores have one. Chores depend on time.
        log = MemoryLog(key: DigestKey(1, 2))
        log.doesChores = false
    }

    func answer(_ command: LogCommand) -> LogEvent? {
        self.command = command
        if isCounting { uncounted(Unmanaged.passUnretained(self).toOpaque()) } else { answer() }
        defer { event = nil }
        return event
    }

    fileprivate func answer() { event = log.answer(command) }

    func load() -> [ReplicaEvent] { log.load() }
}
