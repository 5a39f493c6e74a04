// Owns: how the private PostgreSQL is tuned. Must never: trade durability for speed.
internal import Bytes
internal import Glibc

/// The settings of the private PostgreSQL, for a log that is appended to at high rates and is read mostly at its end.
struct PostgresSettings {
    /// Memory that this process may use, in bytes: the machine's, or the control group's where that is less.
    let memory: Int

    init(memory: Int = PostgresSettings.availableMemory()) {
        self.memory = memory
    }

    private static let mebibyte = 1 << 20

    /// An eighth of memory, 128 MB to 1 GB: Pine keeps what it reads in its own memory, so more would buy little.
    var sharedBuffersMB: Int { min(max(memory / 8 / Self.mebibyte, 128), 1024) }

    /// Content of `pine.conf`, which postgresql.conf includes. Written at every start.
    func text(logFolder: String) -> String {
        """
        # Written by Pine at every start. Put your own settings into local.conf beside this file: they win.

        # Nothing acknowledged may be lost.
        fsync = on
        full_page_writes = on
        synchronous_commit = on

        max_connections = 50
        shared_buffers = \(sharedBuffersMB)MB
        effective_cache_size = \(max(memory / 2 / Self.mebibyte, 256))MB
        maintenance_work_mem = 64MB
        huge_pages = try

        # Rare, spread checkpoints: each makes the next change of every page a full page in the log.
        checkpoint_timeout = 15min
        checkpoint_completion_target = 0.9
        max_wal_size = 4GB
        min_wal_size = 256MB
        wal_buffers = 16MB
        wal_compression = on
        wal_recycle = on
        # Nobody replicates a private server.
        wal_level = minimal
        max_wal_senders = 0

        # Short statements by primary key: neither compiling nor parallel workers can pay off.
        jit = off
        max_parallel_workers_per_gather = 0

        autovacuum = on

        logging_collector = on
        log_destination = stderr
        log_directory = \(Quoted.postgresSetting(logFolder))
        # Seven files at most, one a weekday.
        log_filename = 'postgresql-%a.log'
        log_rotation_age = 1d
        log_rotation_size = 0
        log_truncate_on_rotation = on
        log_line_prefix = '%m [%p] '
        log_timezone = 'UTC'
        timezone = 'UTC'
        lc_messages = 'C'

        """
    }

    static func availableMemory() -> Int {
        let machine = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
        // Control groups version 2, then 1; "max" or a huge number where there is no limit.
        let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"].compactMap {
            Files.read($0).flatMap { Int($0.trimmed) }
        }
        return ([machine] + limits).filter { $0 > 0 }.min() ?? 1 << 30
    }
}
