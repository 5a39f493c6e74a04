// Owns: the proof that several Pines on one PostgreSQL are one etcd, whatever dies, stalls or lies about having committed.
// With PINE_TORTURE=MINUTES, which scripts/torture sets, faults go on for that long and last as long as they may in production.
import Bytes
import EtcdAPI
import Foundation
import TestSupport
import Testing

@Suite("Every fault, three Pines", .serialized, .ownThreads)
struct FaultTests {
    /// nil for the short form.
    private static let minutes = ProcessInfo.processInfo.environment["PINE_TORTURE"].flatMap { Double($0) }

    @Test("PostgreSQL dies, the network lies, replicas stop: no acknowledged write is lost, no read is stale, no event is missed")
    func everyFault() throws {
        let seed = testSeed("FaultTests.everyFault")
        var random = SeededGenerator(seed: seed)
        let arena = try FaultArena(seed: seed, postgres: PostgresServer(settings: ["max_connections": "40"]))
        if let minutes = Self.minutes {
            let end = ContinuousClock.now.advanced(by: .seconds(minutes * 60))
            while ContinuousClock.now < end {
                for fault in Fault.allCases.shuffled(using: &random) where ContinuousClock.now < end {
                    try arena.endure(fault, for: Self.fullLength(fault, &random))
                }
            }
        } else {
            for fault in Fault.allCases.shuffled(using: &random) { try arena.endure(fault, for: .seconds(1)) }
        }
        try arena.finish("FaultTests")
    }

    @Test("PostgreSQL's disk is full: nothing acknowledged is lost, and everybody is served again once there is room")
    func diskFull() throws {
        let postgres = try PostgresServer(volumeBytes: 160 << 20)
        let arena = try FaultArena(seed: testSeed("FaultTests.diskFull"), postgres: postgres)
        try arena.endureFullDisk(for: .seconds(Self.minutes == nil ? 1 : 20))
        try arena.finish("FaultTests, diskFull")
    }

    private static func fullLength(_ fault: Fault, _ random: inout SeededGenerator) -> Duration {
        switch fault {
        case .replicaStopped: .seconds(30)
        case .networkSwallows, .networkStalled: .seconds(random.number(1...20))
        default: .milliseconds(random.number(100...5_000))
        }
    }
}
