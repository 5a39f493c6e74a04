// Owns: the names of the metrics, and what each says here. Those that etcd has are etcd's, with its labels and types, so that
// its alerts and dashboards work; HELP says where Pine means something else by one.
internal import Changelog
internal import EtcdAPI
internal import GRPC
internal import HTTP2
internal import Keyspace
internal import Metrics
internal import Replica
internal import TLS

extension Exposition {
    mutating func write(_ observation: ServerMetrics.Observation) {
        writeServer(observation)
        writeStore(observation)
        writeLeases(observation)
        writeDisk(observation)
        writeCalls(observation)
        writeHealth(observation)
        writePine(observation)
        writeValues(observation)
        writeConnections(observation)
        writeProcess(observation.process)
    }

    // MARK: Etcd's

    private mutating func writeServer(_ observation: ServerMetrics.Observation) {
        let (status, counters, gauges) = (observation.status, observation.status.counters, observation.status.gauges)
        info("etcd_server_version", "Which etcd release's API is served.", MetricLabel("server_version", Versions.etcd))
        info("etcd_cluster_version", "The same, without the patch.", MetricLabel("cluster_version", Versions.etcdCluster))
        info(
            "etcd_server_id", "This member's id, in hexadecimal.",
            MetricLabel("server_id", String(status.header.memberID, radix: 16)))
        gauge("etcd_server_has_leader", "Whether the log in PostgreSQL is folded and at hand: 1, otherwise 0.", observation.isServing)
        gauge(
            "etcd_server_is_leader", "Whether this member is the steward, which expires leases and deletes dead rows.", counters.isSteward)
        gauge("etcd_server_is_learner", "Always 0: every member serves.", 0)
        counter(
            "etcd_server_leader_changes_seen_total",
            "How often serving began: at the start, and after each time that the log had to be asked or loaded again.",
            counters.servingPeriods)
        gauge(
            "etcd_server_proposals_committed_total", "Rows of the log known to be committed since the start.",
            counters.rowsFolded + counters.writes.rowsAppended)
        gauge(
            "etcd_server_proposals_applied_total", "Rows of the log folded since the start.",
            counters.rowsFolded + counters.writes.rowsAppended)
        gauge("etcd_server_proposals_pending", "Writes that wait to be appended, or for PostgreSQL's answer.", gauges.waitingWrites)
        counter(
            "etcd_server_proposals_failed_total", "Writes that PostgreSQL did not answer in time, or that a failover undid.",
            counters.writes.failed)
        counter("etcd_server_slow_apply_total", "Writes that took long (--warning-unary-request-duration).", counters.writes.slow)
        counter("etcd_server_slow_read_indexes_total", "Reads that took long, waiting for PostgreSQL included.", counters.slowReads)
        counter("etcd_server_read_indexes_failed_total", "Reads that PostgreSQL did not answer in time.", counters.readsFailed)
    }

    private mutating func writeStore(_ observation: ServerMetrics.Observation) {
        let (counters, gauges) = (observation.status.counters, observation.status.gauges)
        gauge(
            "etcd_mvcc_db_total_size_in_bytes", "Bytes on disk of the log's tables, with indexes, as PostgreSQL has them allocated.",
            observation.status.databaseBytes)
        gauge(
            "etcd_mvcc_db_total_size_in_use_in_bytes", "About how many of them hold what nothing has made free.",
            observation.status.liveBytes)
        // Without a quota there is nothing to divide by: the alerts about it find no samples.
        if observation.quotaBackendBytes > 0 {
            gauge(
                "etcd_server_quota_backend_bytes", "What the store may take (--quota-backend-bytes).", observation.quotaBackendBytes)
        }
        counter("etcd_mvcc_put_total", "Puts that became visible, other members' included.", counters.putsFolded)
        counter("etcd_mvcc_delete_total", "Deletions of a key that became visible, other members' included.", counters.deletesFolded)
        counter(
            "etcd_mvcc_txn_total", "Transactions of more than one put or delete that became visible, other members' included.",
            counters.txnsFolded)
        counter("etcd_mvcc_range_total", "Ranges answered.", counters.rangesAnswered)
        gauge(
            "etcd_debugging_mvcc_total_put_size_in_bytes", "Bytes of keys and values of all puts that became visible.",
            counters.putBytesFolded)
        gauge("etcd_debugging_mvcc_keys_total", "Keys that exist.", gauges.keys)
        gauge("etcd_debugging_mvcc_current_revision", "The newest revision that can be read.", gauges.revision.rawValue)
        gauge(
            "etcd_debugging_mvcc_compact_revision", "The revision of the last compaction, -1 before the first.",
            gauges.compactRevision.rawValue)
        gauge("etcd_debugging_mvcc_watch_stream_total", "Watch streams.", gauges.watchStreams)
        gauge("etcd_debugging_mvcc_watcher_total", "Watchers.", gauges.watchers)
        gauge("etcd_debugging_mvcc_slow_watcher_total", "Watchers that have not been sent everything yet.", gauges.laggingWatchers)
        counter("etcd_debugging_mvcc_events_total", "Events sent to watchers.", counters.watchEventsSent)
        counter(
            "etcd_debugging_mvcc_db_compaction_keys_total", "Dead rows that this member has deleted from the log.",
            counters.rowsDeleted)
    }

    private mutating func writeLeases(_ observation: ServerMetrics.Observation) {
        let counters = observation.status.counters
        counter("etcd_debugging_lease_granted_total", "Leases granted, by other members too.", counters.leasesGranted)
        counter("etcd_debugging_lease_revoked_total", "Leases revoked or expired, by other members too.", counters.leasesRevoked)
        counter("etcd_debugging_lease_renewed_total", "Keep-alives answered by this member.", counters.leasesKeptAlive)
        counter("etcd_debugging_server_lease_expired_total", "Leases that this member has ended.", counters.leasesExpired)
        gauge("pine_leases", "Leases that exist.", observation.status.gauges.leases)
    }

    private mutating func writeDisk(_ observation: ServerMetrics.Observation) {
        let append = observation.log?.roundTrips[.append] ?? Histogram(Histogram.roundTripBounds)
        let words = "How long PostgreSQL took to commit a batch of writes: one round trip, flushing to its disk and standbys included"
        histogram("etcd_disk_wal_fsync_duration_seconds", "\(words).", append)
        histogram("etcd_disk_backend_commit_duration_seconds", "\(words). The same as etcd_disk_wal_fsync_duration_seconds.", append)
        gauge(
            "etcd_disk_wal_write_bytes_total", "Bytes of keys and values that this member has appended.",
            observation.log?.appendedBytes ?? 0)
    }

    private mutating func writeCalls(_ observation: ServerMetrics.Observation) {
        let methods = zip(ServedMethod.all, observation.methods).map { (labels: $0.method.metricLabels, counted: $1) }
        counters(
            "grpc_server_started_total", "Calls begun.", methods.map { ($0.labels, UInt64($0.counted.started)) })
        counters(
            "grpc_server_handled_total", "Calls ended, by their status.",
            methods.flatMap { method in
                GRPCStatus.Code.allCases.map {
                    ([MetricLabel("grpc_code", $0.metricName)] + method.labels, UInt64(method.counted.finished[Int($0.rawValue)]))
                }
            })
        counters(
            "grpc_server_msg_received_total", "Messages received.",
            methods.map { ($0.labels, UInt64($0.counted.messagesReceived)) })
        counters(
            "grpc_server_msg_sent_total", "Messages sent.", methods.map { ($0.labels, UInt64($0.counted.messagesSent)) })
        histograms(
            "grpc_server_handling_seconds", "How long calls took, streams from their begin to their end.",
            methods.map { ($0.labels, $0.counted.handling) })
        counter(
            "etcd_network_client_grpc_received_bytes_total", "Bytes of messages received.",
            observation.methods.reduce(0) { $0 + $1.bytesReceived })
        counter(
            "etcd_network_client_grpc_sent_bytes_total", "Bytes of messages sent.",
            observation.methods.reduce(0) { $0 + $1.bytesSent })
        let versions = observation.clientVersions.map { ($0.metricLabel, $1) }.sorted { $0.0 < $1.0 }
        counters(
            "etcd_server_client_requests_total",
            "Calls begun, by the API version that clients say they have; other where there are too many of them.",
            versions.flatMap { version, calls in
                [
                    ([MetricLabel("client_api_version", version), MetricLabel("type", "unary")], UInt64(calls.unary)),
                    ([MetricLabel("client_api_version", version), MetricLabel("type", "stream")], UInt64(calls.streams)),
                ]
            })
    }

    private mutating func writeHealth(_ observation: ServerMetrics.Observation) {
        counter("etcd_server_health_success", "Times that /health said yes.", observation.health.succeeded)
        counter("etcd_server_health_failures", "Times that /health said no.", observation.health.failed)
        let checks = observation.health.checks.sorted { ($0.key.question, $0.key.name) < ($1.key.question, $1.key.name) }
        func labels(_ check: Health.Counters.Check) -> [MetricLabel] {
            [MetricLabel("name", check.name), MetricLabel("type", check.question)]
        }
        gauges(
            "etcd_server_healthcheck", "How each check of /livez and /readyz came out the last time: 1 for well.",
            checks.map { (labels($0.key), $0.value.isWell ? 1 : 0) })
        counters(
            "etcd_server_healthchecks_total", "How often each check of /livez and /readyz came out how.",
            checks.flatMap { check in
                [
                    (labels(check.key) + [MetricLabel("status", "success")], check.value.well),
                    (labels(check.key) + [MetricLabel("status", "error")], check.value.ill),
                ]
            })
    }

    // MARK: Pine's own

    private mutating func writePine(_ observation: ServerMetrics.Observation) {
        let (counters, gauges, log) = (observation.status.counters, observation.status.gauges, observation.log ?? LogCounters())
        let empty = Histogram(Histogram.roundTripBounds)
        info("pine_build_info", "Pine's version.", MetricLabel("version", Versions.pine))
        histogram("pine_append_batch_rows", "Rows of each batch that was appended.", log.appendRows)
        histogram("pine_append_duration_seconds", "Round trips of appends that were committed.", log.roundTrips[.append] ?? empty)
        histogram(
            "pine_read_index_duration_seconds", "Round trips that learn where the log ends, each shared by all reads that wait.",
            log.roundTrips[.readHead] ?? empty)
        histograms(
            "pine_postgres_operation_duration_seconds", "Round trips to PostgreSQL that were answered, by what was asked.",
            LogOperation.allCases.map { ([MetricLabel("operation", $0.rawValue)], log.roundTrips[$0] ?? empty) })
        self.counters(
            "pine_postgres_failures_total", "What PostgreSQL refused or did not answer, by what was asked.",
            LogOperation.allCases.map { ([MetricLabel("operation", $0.rawValue)], log.failures[$0] ?? 0) })
        self.counters(
            "pine_postgres_refusals_total", "Background tasks' statements that PostgreSQL refused, by what was asked and SQLSTATE.",
            log.refusals.sorted { ($0.key.operation.rawValue, $0.key.state) < ($1.key.operation.rawValue, $1.key.state) }.map {
                ([MetricLabel("operation", $0.key.operation.rawValue), MetricLabel("sqlstate", $0.key.state)], $0.value)
            })
        counter("pine_postgres_connections_made_total", "Connections to PostgreSQL.", log.connectionsMade)
        counter("pine_postgres_slow_statements_total", "Statements that took long (--warning-sql-duration).", log.slowStatements)
        gauge("pine_postgres_up", "Whether PostgreSQL is at hand: 1, otherwise 0.", observation.isDatabaseUp)
        gauge(
            "pine_postgres_unsafe_durability",
            "Whether PostgreSQL's settings let acknowledged writes vanish (fsync or full_page_writes off): 1, otherwise 0.", log.isUnsafe)
        if let isReplicated = log.isReplicated {
            gauge(
                "pine_postgres_synchronous_replication",
                "Whether commits wait for a standby (synchronous_standby_names is set): 1, otherwise 0.", isReplicated)
        }
        counter("pine_postgres_outages_total", "How often PostgreSQL was away.", log.outages)
        counter("pine_postgres_outage_seconds_total", "How long PostgreSQL was away, outages that are over.", log.outageSeconds)
        counters.writes.write(into: &self)
        counter("pine_auto_compactions_total", "Compactions that nobody asked for.", counters.autoCompactions)
        counter("pine_head_reads_total", "How often PostgreSQL was asked where the log ends.", counters.headReads)
        counter("pine_reads_answered_total", "Reads answered.", counters.readsAnswered)
        counter(
            "pine_ranges_shared_total", "Long ranges that were answered with the bytes of another's answer still under way.",
            counters.rangesShared)
        counter("pine_rows_folded_total", "Rows of other members, or of the log at the start, that were folded.", counters.rowsFolded)
        gauge(
            "pine_fold_lag_revisions", "Revisions that the log is known to have and this member has not folded.",
            gauges.revision.distance(to: gauges.headRevision))
        gauge(
            "pine_log_digest",
            "The lower half of the digest of all rows folded: the same on all members that are at the same position.",
            UInt32(truncatingIfNeeded: gauges.digest.rawValue))
        gauge("pine_key_versions", "Versions of all keys in memory: live ones, and what is not compacted yet.", gauges.keyVersions)
        gauge("pine_key_bytes", "Bytes of all keys in memory.", gauges.keyBytes)
        gauge("pine_index_bytes", "About what the index takes in memory beside keys and values.", gauges.indexBytes)
        gauge(
            "pine_sweep_backlog_rows", "About how many superseded rows of compacted revisions are still to be deleted.",
            gauges.sweepBacklog)
        gauge("pine_serving", "Whether the log is folded and at hand: 1, otherwise 0.", observation.isServing)
        gauge("pine_steward", "Whether this member is the steward, which expires leases and deletes dead rows.", counters.isSteward)
        gauge("pine_members", "Members that were alive when the database was last asked.", observation.status.members.count)
        gauge("pine_log_damaged", "Whether the log's rows don't add up to its digest.", counters.isLogDamaged)
        gauge(
            "pine_log_corrupt", "Whether the last check found rows of the log altered, missing or added: 1, otherwise 0.",
            !log.rowFinding.isWell)
        counter("pine_log_checks_total", "How often the log's rows were compared with their hashes.", log.rowChecks)
        counter("pine_lease_rounds_total", "Transactions on the leases' deadlines.", counters.leaseRounds)
        counter(
            "pine_lease_extensions_total", "How often all leases were given their full time, after an outage or a change of steward.",
            counters.leaseExtensions)
        gauge("pine_waiting_writes", "Writes that wait to be appended, or for PostgreSQL's answer.", gauges.waitingWrites)
        gauge("pine_waiting_write_bytes", "What the waiting writes keep in memory.", gauges.waitingWriteBytes)
        gauge("pine_waiting_reads", "Reads that wait to learn where the log ends.", gauges.waitingReads)
        gauge("pine_scans", "Answers that are being made in steps: long ranges and transactions.", gauges.scans)
        gauge("pine_scan_bytes", "What these take in memory, in bytes.", gauges.scanBytes)
        gauge(
            "pine_engine_turn_visits_max", "The most rows and watchers that one turn of the engine has looked at, reads and writes aside.",
            counters.turnVisitsMax)
    }

    private mutating func writeValues(_ observation: ServerMetrics.Observation) {
        let (counters, values) = (observation.status.counters, observation.status.gauges.values)
        gauge("pine_value_cache_bytes", "Bytes of values in memory.", values.byteCount)
        gauge("pine_value_cache_limit_bytes", "What they may take (--value-cache-bytes).", observation.valueCacheBytes)
        counter("pine_value_cache_hits_total", "Values that were wanted and in memory.", values.hits)
        counter("pine_value_cache_misses_total", "Values that were wanted and not in memory.", values.misses)
        counter("pine_value_cache_evictions_total", "Values that memory gave up for others.", values.evictions)
        counter("pine_value_waits_total", "Operations that had to wait for values from PostgreSQL.", counters.valueWaits)
        gauge("pine_waiting_values", "Operations that wait for values from PostgreSQL.", values.waiting)
        counter("pine_values_read_total", "Values read from PostgreSQL for them.", counters.valuesRead)
        counter("pine_value_bytes_read_total", "Bytes of these.", counters.valueBytesRead)
    }

    private mutating func writeConnections(_ observation: ServerMetrics.Observation) {
        gauge("pine_connections", "Connections of clients.", observation.accepted.open)
        counter("pine_connections_accepted_total", "Connections of clients since the start.", observation.accepted.opened)
        counter(
            "pine_connections_held_back_total", "How often accepting had to wait for a connection to close.", observation.accepted.holds)
        counter(
            "pine_connections_refused_total", "Connections closed for what their peers did.", observation.connections.connectionsRefused)
        gauge("pine_http1_connections", "Connections that speak HTTP/1.1.", observation.http1.open)
        counter("pine_http1_connections_accepted_total", "The same since the start.", observation.http1.opened)
        counter("pine_http1_connections_refused_total", "Those that were too many.", observation.http1.refused)
        self.counters(
            "pine_tls_handshakes_total", "TLS handshakes that have ended, by how they came out.",
            TLSOutcome.allCases.map { ([MetricLabel("outcome", $0.rawValue)], observation.tls.ended[$0] ?? 0) })
        gauge("pine_tls_handshakes_under_way", "TLS handshakes under way.", observation.tls.underWay)
        gauge("pine_streams", "Streams of HTTP/2 that are open.", observation.openStreams)
        gauge("pine_unread_bytes", "Bytes of answers that wait for their clients to read.", observation.queuedBytes)
        gauge(
            "pine_client_memory_bytes",
            "Memory that clients take, about: unread answers, answers that are expected, input that waits, open streams.",
            observation.clientMemory.bytes)
        gauge("pine_client_memory_limit_bytes", "What all clients together may take of it.", observation.clientMemory.limit)
        gauge(
            "pine_connections_waiting", "Connections whose requests wait until their clients have read their answers.", observation.heldBack
        )
        counter(
            "pine_connections_unread_total", "Connections closed since their clients left too much unread.",
            observation.connections.connectionsUnread)
        counter("pine_bytes_received_total", "Bytes received over HTTP/2, framing included.", observation.connections.bytesReceived)
        counter("pine_bytes_sent_total", "Bytes sent over HTTP/2, framing included.", observation.connections.bytesSent)
        counter("pine_refused_calls_total", "Requests that came to no call: unknown methods, malformed headers.", observation.refusedCalls)
    }

    private mutating func writeProcess(_ process: ProcessStatus) {
        if let seconds = process.cpuSeconds { counter("process_cpu_seconds_total", "User and system CPU time.", seconds) }
        if let bytes = process.residentBytes { gauge("process_resident_memory_bytes", "Memory in RAM.", bytes) }
        if let bytes = process.virtualBytes { gauge("process_virtual_memory_bytes", "Memory mapped.", bytes) }
        if let seconds = process.startSeconds { gauge("process_start_time_seconds", "When the process began, since the epoch.", seconds) }
        if let count = process.threads { gauge("process_threads", "Threads.", count) }
        if let count = process.openDescriptors {
            gauge("process_open_fds", "Open file descriptors.", count)
            gauge("os_fd_used", "The same, by etcd's name.", count)
        }
        if let limit = process.descriptorLimit {
            gauge("process_max_fds", "How many file descriptors there may be.", limit)
            gauge("os_fd_limit", "The same, by etcd's name.", limit)
        }
    }
}

extension EtcdMethod {
    /// As Go's gRPC middleware names them.
    fileprivate var metricLabels: [MetricLabel] {
        let parts = path.split(separator: "/")
        let type =
            switch kind {
            case .unary: "unary"
            case .serverStreaming: "server_stream"
            case .bidirectional: "bidi_stream"
            }
        return [
            MetricLabel("grpc_method", String(parts[1])), MetricLabel("grpc_service", String(parts[0])), MetricLabel("grpc_type", type),
        ]
    }
}

extension GRPCCounters.FieldValue.Value {
    /// As etcd has it, which has no bound and so no `other`.
    fileprivate var metricLabel: String {
        switch self {
        case .absent: "unknown"
        case .other: "other"
        case .text(let text): text
        }
    }
}

extension GRPCStatus.Code {
    /// As Go's gRPC names them.
    fileprivate var metricName: String {
        switch self {
        case .ok: "OK"
        case .cancelled: "Canceled"
        case .unknown: "Unknown"
        case .invalidArgument: "InvalidArgument"
        case .deadlineExceeded: "DeadlineExceeded"
        case .notFound: "NotFound"
        case .alreadyExists: "AlreadyExists"
        case .permissionDenied: "PermissionDenied"
        case .resourceExhausted: "ResourceExhausted"
        case .failedPrecondition: "FailedPrecondition"
        case .aborted: "Aborted"
        case .outOfRange: "OutOfRange"
        case .unimplemented: "Unimplemented"
        case .internal: "Internal"
        case .unavailable: "Unavailable"
        case .dataLoss: "DataLoss"
        case .unauthenticated: "Unauthenticated"
        }
    }
}
