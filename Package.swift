// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    // The hot path crosses targets (bytes, codec, key index, engine): let the optimiser follow it.
    // Overlapping accesses are found by the tests and a stage of the simulator, which run unoptimised; checked for at each access, they cost up to 8 %.
    .unsafeFlags(["-cross-module-optimization", "-enforce-exclusivity=unchecked"], .when(configuration: .release)),
]

func room(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies, resources: resources, swiftSettings: settings)
}

let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let deque: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")
let heap: Target.Dependency = .product(name: "HeapModule", package: "swift-collections")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let systemPackage: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let histogram: Target.Dependency = .product(name: "Histogram", package: "hdrhistogram-swift")
let subprocess: Target.Dependency = .product(name: "Subprocess", package: "swift-subprocess")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")
let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "pine",
    products: [
        .executable(name: "pine", targets: ["pine"]),
        .executable(name: "simulate", targets: ["simulate"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.5.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    ],
    targets: [
        // Each room imports only rooms above it.
        .systemLibrary(name: "CNghttp2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CCrypt", pkgConfig: "libcrypt", providers: [.apt(["libcrypt-dev"])]),
        .systemLibrary(name: "CPrefetch"),
        .systemLibrary(name: "CSemaphore"),
        .systemLibrary(name: "CFileRights"),
        room("Bytes"),
        room("Calls"),
        room("Bolt", ["Bytes"]),
        room("Mailboxes", ["Bytes", "CSemaphore"]),
        room("Metrics", ["Bytes"]),
        room("EtcdAPI", ["Bytes"]),
        room("Auth", ["Bytes", "EtcdAPI"]),
        room("Gateway", ["Bytes"]),
        room("Passwords", ["Bytes", "CCrypt", "EtcdAPI"]),
        room("JWT", ["Auth", "Bytes", "COpenSSL", "EtcdAPI"]),
        room("Keyspace", ["Auth", "Bytes", "CPrefetch", "EtcdAPI", heap]),
        room("Replica", ["Auth", "Bolt", "Bytes", "Calls", "Metrics", "EtcdAPI", "Keyspace", deque]),
        .target(
            name: "Changelog", dependencies: ["Bytes", "CLibPQ", "EtcdAPI", "Mailboxes", "Metrics", "Keyspace", "Replica", deque, logging],
            // A link to the migrations folder: compiled in, so that the binary needs no files beside it.
            resources: [.embedInCode("migrations")], swiftSettings: settings),
        room("TLS", ["Bytes", "COpenSSL", nioCore, logging]),
        room("HTTP1", ["Bytes", nioCore, nioHTTP1]),
        room("HTTP2", ["Bytes", "CNghttp2", "HTTP1", nioCore, nioPosix, logging]),
        room("GRPC", ["Bytes", "Calls", "CZlib", "Metrics", "HTTP1", "HTTP2", nioCore, nioPosix, logging]),
        room(
            "PineServer",
            [
                "Auth", "Bytes", "Calls", "Mailboxes", "Metrics", "EtcdAPI", "Gateway", "JWT", "Keyspace", "Passwords", "Replica",
                "Changelog", "TLS", "HTTP1", "HTTP2", "GRPC", nioCore, nioPosix, logging,
            ]),
        room("EtcdClient", ["Bytes", "EtcdAPI", "GRPC", "HTTP2", "TLS", nioCore, nioPosix]),
        room("Moving", ["Bytes", "CZlib", "Changelog", "EtcdAPI", "EtcdClient", "GRPC", logging]),
        room("PineBench", ["Bytes", "EtcdAPI", "EtcdClient", "GRPC", "HTTP2", "TLS", deque, histogram, nioCore, nioPosix]),
        room("EmbeddedPostgres", ["Bytes", "CFileRights", subprocess, systemPackage, logging]),
        .executableTarget(
            name: "pine",
            dependencies: [
                "Bytes", "Changelog", "EtcdAPI", "GRPC", "JWT", "Keyspace", "Replica", "TLS", "PineServer", "EmbeddedPostgres",
                "EtcdClient", "Moving", "PineBench", nioCore, nioPosix, argumentParser, logging, yams,
            ],
            swiftSettings: settings),

        // Not a part of Pine as it is shipped: the log's tables and a replica's host in memory, and the replica under every fault that can
        // be thought of.
        room("LogModel", ["Bytes", "Calls", "EtcdAPI", "Keyspace", "Replica"]),
        room("Simulation", ["Bytes", "Calls", "EtcdAPI", "Keyspace", "LogModel", "Replica", deque, heap]),
        .executableTarget(name: "simulate", dependencies: ["Simulation", argumentParser], swiftSettings: settings),

        .target(
            name: "TestSupport", dependencies: ["Bytes", "CNghttp2", "EtcdAPI", nioCore, nioPosix, subprocess, logging],
            path: "Tests/TestSupport",
            swiftSettings: settings),
        tests("BytesTests", ["Bytes"]),
        tests("BoltTests", ["Bytes", "Bolt"]),
        tests("MailboxesTests", ["Mailboxes", "TestSupport"]),
        tests("MetricsTests", ["Metrics", "TestSupport"]),
        tests("EtcdAPITests", ["Bytes", "EtcdAPI", "TestSupport"], resources: [.copy("Corpus")]),
        tests("GatewayTests", ["Bytes", "EtcdAPI", "Gateway", "TestSupport"], resources: [.copy("Corpus")]),
        tests("AuthTests", ["Auth", "Bytes", "EtcdAPI"]),
        tests("JWTTests", ["Auth", "Bytes", "EtcdAPI", "JWT"]),
        tests("PasswordsTests", ["Bytes", "EtcdAPI", "Passwords", "TestSupport"]),
        tests("KeyspaceTests", ["Auth", "Bytes", "EtcdAPI", "Keyspace", "TestSupport"]),
        tests(
            "ReplicaTests", ["Auth", "Bolt", "Bytes", "Calls", "EtcdAPI", "Keyspace", "LogModel", "Replica", "TestSupport"],
            resources: [.copy("Transcripts")]),
        tests("ChangelogTests", ["Bytes", "EtcdAPI", "Keyspace", "LogModel", "Replica", "Changelog", "TestSupport", logging]),
        .target(name: "RawHTTP2", dependencies: ["CNghttp2"], path: "Tests/RawHTTP2", swiftSettings: settings),
        tests("TLSTests", ["TLS", "TestSupport", nioCore, nioPosix, logging]),
        tests("HTTP2Tests", ["Bytes", "CNghttp2", "HTTP2", "RawHTTP2", "TestSupport", nioCore, nioPosix, logging]),
        tests(
            "GRPCTests",
            ["Bytes", "Calls", "CZlib", "HTTP1", "HTTP2", "GRPC", "RawHTTP2", "TLS", "TestSupport", nioCore, nioPosix, logging]),
        // The whole server on one thread, for scripts/fuzz and the replay of its seeds.
        .target(
            name: "PineFuzz",
            dependencies: [
                "Bytes", "Calls", "EtcdAPI", "Gateway", "Keyspace", "LogModel", "Mailboxes", "Passwords", "Replica", "HTTP1", "HTTP2",
                "GRPC", "PineServer",
                nioCore, nioEmbedded, logging,
            ],
            path: "Tests/PineFuzz", swiftSettings: settings),
        tests("PineFuzzTests", ["PineFuzz"], resources: [.copy("Corpus")]),
        tests(
            "PineServerTests",
            [
                "Bytes", "Calls", "Changelog", "EtcdAPI", "Gateway", "GRPC", "HTTP1", "HTTP2", "Keyspace", "LogModel", "Mailboxes",
                "Passwords", "PineServer", "RawHTTP2", "Replica", "TestSupport", nioCore, nioEmbedded, logging,
            ]),
        tests("EmbeddedPostgresTests", ["EmbeddedPostgres", "TestSupport", logging]),
        .executableTarget(
            name: "instruction-count",
            dependencies: [
                "Bytes", "EtcdAPI", "GRPC", "HTTP2", "Keyspace", "LogModel", "PineServer", "Replica", logging, nioCore, nioEmbedded,
            ], path: "Tests/InstructionCount", exclude: ["expected"], swiftSettings: settings),
        tests("PineBenchTests", ["Bytes", "EtcdAPI", "EtcdClient", "PineBench"]),
        tests("SimulationTests", ["Bytes", "EtcdAPI", "Simulation", "TestSupport"]),
        tests("PineTests", ["Bytes", "EtcdAPI", "RawHTTP2", "TestSupport"]),
    ]
)
