// Owns: the command line as an operator meets it: flags, variables, the settings file, and what is said when they are wrong.
import Bytes
import EtcdAPI
import Foundation
import TestSupport
import Testing

@Suite("Settings", .ownThreads)
struct SettingsTests {
    /// Runs `pine serve` where it is bound to fail before it serves anything, and gives its one line.
    private func complaint(
        _ arguments: [String], environment: [String: String] = [:], file: String? = nil
    ) throws -> String {
        let folder = try TemporaryFolder()
        var all = ["serve"] + arguments
        if let file {
            try Data(file.utf8).write(to: URL(fileURLWithPath: folder.file("pine.yaml")))
            all += ["--config-file", folder.file("pine.yaml")]
        }
        let result = try PineProcess.run(all, environment: environment)
        #expect(result.exit == .exited(2), "\(result)")
        #expect(result.stdout.isEmpty)
        #expect(result.stderr.hasSuffix("\n") && result.stderr.split(separator: "\n").count == 1, "one line: \(result.stderr)")
        return result.stderr.trimmingCharacters(in: .newlines).replacingOccurrences(of: "\(folder.path)/", with: "")
    }

    @Test("A wrong flag is one line that says what to do, and status 2")
    func wrongFlags() throws {
        #expect(
            try complaint(["--max-txn-opps", "5"])
                == "pine: Unknown option '--max-txn-opps'. Did you mean '--max-txn-ops'?; `pine serve --help` shows what there is")
        #expect(
            try complaint(["--max-txn-ops", "many"])
                == "pine: The value 'many' is invalid for '--max-txn-ops <count>': it must be a whole number, at least 1")
        #expect(try complaint(["--max-txn-ops", "0"]).contains("at least 1"))
        #expect(try complaint(["--shutdown-grace="]).contains("'--shutdown-grace <duration>': a duration is like 500ms"))
        #expect(try complaint(["--shutdown-grace", "soon"]).contains("'--shutdown-grace <duration>': a duration is like 500ms"))
        #expect(try complaint(["--max-request-bytes", "1GiB"]).contains("it must be at most 536870912"))
        #expect(try complaint(["--max-request-bytes", "1.5 potatoes"]).contains("a size is a number of bytes"))
        #expect(try complaint(["--log-level", "loud"]).contains("one of trace, debug, info, warn, error"))
        #expect(try complaint(["--log-format", "xml"]).contains("text or json"))
        #expect(try complaint(["--poll-interval", "1ms"]).contains("--poll-interval must be between 50ms and 60s, not 1ms"))
        #expect(try complaint(["--listen-client-urls", "ftp://x:1"]).contains("ftp://x:1"))
        #expect(try complaint(["--no-prepared-statements=perhaps"]).contains("neither true nor false"))
        #expect(try complaint(["--auto-tls"]).contains("Unknown option '--auto-tls'"), "not ignored: it asks for encryption")
    }

    @Test("A database that no waiting would help is one line and status 2; one that is away is waited for, with one line")
    func wrongDatabases() throws {
        let server = try PostgresServer()
        let url = server.connectionString
        for (wrong, word) in [
            ("mysql://x/y", "the connection string for PostgreSQL is wrong"),
            ("host=localhost prt=3", "invalid connection option \"prt\""),
            ("postgres://u@127.0.0.1:port/db", "the port is not a number"), (url + "?sslmode=perhaps", "invalid sslmode value"),
            ("service=nothing", "definition of service \"nothing\" not found"),
            (server.connectionString(database: "missing"), "database \"missing\" does not exist"),
            (server.connectionString(database: "postgres", user: "missing"), "role \"missing\" does not exist"),
        ] {
            let line = try complaint(["--postgres", wrong, "--listen-client-urls", "http://127.0.0.1:0", "--log-level", "error"])
            #expect(line.contains(word), "\(wrong): \(line)")
        }
        #expect(try complaint(["--postgres", url, "--schema", "pg_x"]).contains("--schema pg_x is not a name that PostgreSQL takes"))
        #expect(try complaint(["--advertise-client-urls", "here"]).contains("--advertise-client-urls here is not a URL"))

        try server.stop()
        let pine = try PineProcess(["--postgres", url])
        try eventuallyBlocking("a word about the database") { pine.log.contains("PostgreSQL can't be used yet; waiting for it") }
        try server.start()
        let client = try EtcdClient(port: pine.port)
        #expect(try client.put("k", "v").header?.revision == 2)
        #expect(pine.log.components(separatedBy: "can't be used yet").count <= 4, "\(pine.log)")
        try eventuallyBlocking("a word about it") { pine.log.contains("PostgreSQL can be used now") }
        // Who leaves in good order is off the list at once.
        try eventuallyBlocking("the member in the list") { try server.psql("select count(*) from pine.member") == "1" }
        pine.kill(SIGTERM)
        try pine.waitForExit()
        #expect(try server.psql("select count(*) from pine.member") == "0")
    }

    @Test("A wrong variable is named")
    func wrongVariables() throws {
        #expect(
            try complaint([], environment: ["PINE_MAX_TXN_OPS": "many"])
                == "pine: PINE_MAX_TXN_OPS: The value 'many' is invalid for '--max-txn-ops <count>': it must be a whole number, at least 1")
        #expect(
            try complaint([], environment: ["PINE_ALLOW_UNSAFE_DURABILITY": "si"])
                == "pine: PINE_ALLOW_UNSAFE_DURABILITY is si, which is neither true nor false")
    }

    @Test("A wrong settings file is one line that names its line")
    func wrongFiles() throws {
        #expect(
            try complaint([], file: "name: a\nmax-txn-op: 5\n")
                == "pine: pine.yaml:2: max-txn-op is not a setting; did you mean max-txn-ops?")
        #expect(try complaint([], file: "flux-capacitor: 5\n").contains("pine.yaml:1: flux-capacitor is not a setting; the keys are"))
        #expect(
            try complaint([], file: "\nmax-txn-ops: many\n")
                == "pine: pine.yaml:2: The value 'many' is invalid for '--max-txn-ops <count>': it must be a whole number, at least 1")
        #expect(try complaint([], file: "max-txn-ops: {a: 1}\n").contains("pine.yaml:1: max-txn-ops must be a value, not a map"))
        #expect(try complaint([], file: "listen-client-urls: [[a]]\n").contains("must be a list of plain values"))
        #expect(
            try complaint([], file: "allow-unsafe-durability: 7\n").contains(
                "pine.yaml:1: allow-unsafe-durability is 7, which is neither true nor false"))
        #expect(try complaint([], file: "- a\n- b\n").contains("must have a line for each setting"))
        #expect(try complaint([], file: "a: b: c\n").contains("pine.yaml is not YAML"))
        #expect(try complaint([], file: "name: a\nname: b\n").contains("name"))
        #expect(try complaint([], file: "config-file: b\n").contains("config-file is not a setting"))
        #expect(try complaint(["--config-file", "/"]) == "pine: can't read the settings file /: it is not a file")
        #expect(
            try complaint(["--config-file", "/nowhere/pine.yaml"])
                == "pine: can't read the settings file /nowhere/pine.yaml: No such file or directory")
    }

    @Test("A flag wins over its variable, that over the file, and that over the default")
    func precedence() throws {
        let folder = try TemporaryFolder()
        let file = folder.file("pine.yaml")
        // Whoever wins shows by what is said about its value.
        func winner(_ arguments: [String], _ environment: [String: String], _ text: String) throws -> String {
            try Data(text.utf8).write(to: URL(fileURLWithPath: file))
            let result = try PineProcess.run(
                ["serve"] + arguments, environment: environment.merging(["PINE_CONFIG_FILE": file]) { one, _ in one })
            #expect(result.exit == .exited(2), "\(result)")
            return result.stderr
        }
        let text = "listen-client-urls: [ftp://file, ftp://file2]\n"
        #expect(try winner(["--listen-client-urls=ftp://flag"], ["PINE_LISTEN_CLIENT_URLS": "ftp://variable"], text).contains("ftp://flag"))
        #expect(try winner([], ["PINE_LISTEN_CLIENT_URLS": "ftp://variable"], text).contains("ftp://variable"))
        let said = try winner([], [:], text)
        #expect(said.contains("ftp://file") && !said.contains("variable"))
        // A switch can be switched off again.
        let off = try winner(
            ["--no-prepared-statements=false", "--listen-client-urls", "ftp://x"], ["PINE_NO_PREPARED_STATEMENTS": "perhaps"], "")
        #expect(off.contains("ftp://x"), "\(off)")
    }

    @Test("Settings come from a file, and flags of etcd that mean nothing are named once and have no effect")
    func etcdFlags() throws {
        let folder = try TemporaryFolder()
        let text = """
            name: pine-7
            max-txn-ops: 2
            listen-client-urls:
              - http://127.0.0.1:0
            snapshot-count: 10000
            client-transport-security: {}

            """
        try Data(text.utf8).write(to: URL(fileURLWithPath: folder.file("pine.yaml")))
        let postgres = try PostgresServer.shared()
        let pine = try PineProcess(
            [
                "--config-file", folder.file("pine.yaml"), "--postgres", try postgres.newDatabase(), "--initial-cluster",
                "default=http://localhost:2380", "--heartbeat-interval=100", "--allow-unsafe-durability=false", "--cert-file=",
                "--key-file", "",
                "--trusted-ca-file=", "--cipher-suites=", "--tls-max-version=", "--listen-metrics-urls=", "--data-dir=",
                "--request-timeout=7000000µs", "--poll-interval=250000000ns", "--compaction-batch-limit=10",
                "--compaction-sleep-interval=1ms", "--enable-distributed-tracing=false", "--distributed-tracing-address=x:1",
                "--client-cert-file=c", "--client-key-file=k",
            ], environment: ["PINE_MAX_TXN_OP": "5", "PINE_LOG_FORMAT": "json", "PINE_SERVICE_HOST": "10.0.0.1"])
        try eventuallyBlocking("the member's name") { try pine.etcdctl("member", "list").stdout.contains("pine-7") }
        let log = pine.log
        #expect(
            log.contains(
                "flags of etcd that mean nothing to Pine have no effect: --client-cert-file, --client-key-file, --compaction-batch-limit, "
                    + "--compaction-sleep-interval, --distributed-tracing-address, --enable-distributed-tracing, --heartbeat-interval, "
                    + "--initial-cluster, --snapshot-count"),
            "\(log)")
        #expect(log.contains("the variable PINE_MAX_TXN_OP is not known and has no effect; did you mean PINE_MAX_TXN_OPS?"))
        #expect(!log.contains("PINE_SERVICE_HOST"))
        let tooMany = try pine.etcdctl("txn", input: Array("\nput a 1\nput b 1\nput c 1\n\n\n\n".utf8))
        #expect(tooMany.stderr.contains("too many operations"))
    }

    @Test("A settings file of etcd does as it is")
    func etcdFile() throws {
        let folder = try TemporaryFolder()
        // What the sample file that comes with etcd has, without its comments.
        let text = """
            name: 'from-etcd'
            data-dir: \(folder.file("data"))
            wal-dir:
            snapshot-count: 10000
            heartbeat-interval: 100
            election-timeout: 1000
            quota-backend-bytes: 0
            listen-peer-urls: http://localhost:2380
            listen-client-urls: http://127.0.0.1:0
            max-snapshots: 5
            max-wals: 5
            cors:
            initial-advertise-peer-urls: http://localhost:2380
            advertise-client-urls: http://localhost:2379
            discovery:
            discovery-fallback: 'proxy'
            discovery-proxy:
            discovery-srv:
            initial-cluster:
            initial-cluster-token: 'etcd-cluster'
            initial-cluster-state: 'new'
            strict-reconfig-check: false
            enable-pprof: true
            proxy: 'off'
            proxy-failure-wait: 5000
            client-transport-security:
              cert-file:
              key-file:
              client-cert-auth: false
              trusted-ca-file:
              auto-tls: false
            peer-transport-security:
              cert-file:
              key-file:
              client-cert-auth: false
              trusted-ca-file:
              auto-tls: false
              allowed-cn:
            self-signed-cert-validity: 1
            log-level: debug
            logger: zap
            log-outputs: [stderr]
            force-new-cluster: false
            auto-compaction-mode: periodic
            auto-compaction-retention: "1"
            tls-min-version: 'TLS1.2'
            tls-max-version: 'TLS1.3'

            """
        try Data(text.utf8).write(to: URL(fileURLWithPath: folder.file("etcd.conf.yml")))
        let pine = try PineProcess(
            ["--config-file", folder.file("etcd.conf.yml"), "--postgres", try PostgresServer.shared().newDatabase()])
        #expect(try EtcdClient(port: pine.port).put("k", "v").header?.revision == 2)
        #expect(pine.log.contains("have no effect: --auto-tls, --discovery-fallback"), "\(pine.log)")
        let secure = text.replacingOccurrences(of: "  auto-tls: false\npeer", with: "  auto-tls: true\npeer")
        #expect(try complaint([], file: secure).contains("auto-tls is not a setting"))
    }

    @Test("Help teaches, in every command; completions are there")
    func help() throws {
        for arguments in [["--help"], ["serve", "--help"], ["help", "serve"]] {
            let result = try PineProcess.run(arguments, environment: ["PINE_MAX_TXN_OPS": "many"])
            #expect(result.exit == .exited(0) && result.stdout.contains("USAGE: pine"), "\(arguments)")
        }
        #expect(try PineProcess.run([]).stdout.contains("SUBCOMMANDS"))
        for shell in ["bash", "zsh", "fish"] {
            let script = try PineProcess.run(["--generate-completion-script", shell])
            #expect(script.exit == .exited(0) && script.stdout.contains("max-txn-ops"))
        }
        let wrong = try PineProcess.run(["surve"])
        #expect(wrong.exit == .exited(2) && wrong.stderr == "pine: surve is not a command; did you mean serve?\n")
    }
}
