// Owns: every statement that reads or writes the log once its tables exist, for one schema.
// Must never: use what PostgreSQL's distributed relatives lack (sequences, procedures, advisory locks, serializable isolation).
internal import Keyspace

struct LogStatements: Sendable {
    private let schema: String
    private let chunkByteLimit: Int

    /// Appends if the head is still where we believe it is. Parameters: the new revision, sub, digest and compact revision; the
    /// digest and the epoch that are expected; then an array for each column of the changelog, and the sum of the hashes. All of one
    /// length, but for that of the hashes, which is empty where the store has no key, they are taken apart side by side. In the select
    /// list, because in the from clause PostgreSQL would first make a table of them, and put that
    /// into a file where it is larger than `work_mem`: that took as long as all the rest.
    let append: Statement
    /// Appends more rows in the transaction in which `append` has inserted some. Parameters: the new digest, and the epoch; then the
    /// arrays. Where the head says something else, nothing is inserted.
    let appendMore: Statement
    let readHead: Statement
    /// Waits for a still-running append, and makes one that has not run yet fail.
    let raiseEpoch: Statement
    let lockHead: Statement
    /// One of the rows is the head, with a null for its value.
    let readValues: Statement
    /// Deletes rows by primary key, and says what has been deleted. Gives whether it did, and how many rows were there. Only where the log
    /// knows of the compaction and of no other deletions, and the duty is the holder's. Parameters: an array for each column of the
    /// key; the compaction; how far deleting comes by it, as compact revision, revision and sub; the digests of all deletions before
    /// and after; the holder.
    let delete: Statement
    /// What the table says, whether the log knows of a compaction, and whether the duty is another's. Parameters: the compaction and the
    /// holder.
    let whyNotDeleted: Statement
    let readSweep: Statement
    /// The sums of the hashes of the rows that were appended, and of those that were deleted; nulls where the store has no key.
    let readRowSums: Statement
    /// Where the row with the store's key is, as the columns of a row; no row where it has none.
    let readKey: Statement
    let hint: Statement
    let databaseSizes: Statement
    let upsertMember: Statement
    let listMembers: Statement
    let deleteMember: Statement

    /// Whatever the server's or the role's default is: a statement has to see what was committed while it waited.
    static let begin = Statement("begin isolation level read committed")
    /// What a transaction needs for itself where a session can't have it, behind a pooler; see `ServerCheck`.
    static let pin = Statement(
        """
        select pg_catalog.set_config('statement_timeout', '0', true), pg_catalog.set_config('lock_timeout', '0', true),
          pg_catalog.set_config('idle_in_transaction_session_timeout', '0', true),
          pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true)
        """)
    static let beginSnapshot = Statement("begin isolation level repeatable read read only")
    static let commit = Statement("commit")
    static let rollback = Statement("rollback")

    private static let headColumns = "cluster_id, revision, sub, digest, epoch, compact_revision"
    /// The numbers of the kinds of rows that are of no use without their values.
    private static let kindsWithValue = RowKind.allCases.filter(\.needsValue).map { "\($0.rawValue)" }.joined(separator: ", ")
    private static let rowColumns = "revision, sub, kind, key, value, create_revision, version, lease, origin"
    /// Adds to the column `row_sum`, modulo 2^62. One that is null stays so.
    private static func rowSum(plus term: String) -> String { "(row_sum + \(term)) & \(RowHash.mask)::bigint" }

    /// `isGuarded`: whether an append has to be durable.
    init(schema name: SchemaName, chunkByteLimit: Int, isGuarded: Bool = true) {
        let schema = name.quoted
        self.schema = schema
        self.chunkByteLimit = chunkByteLimit
        // Settings may have changed a moment ago, and a pooler may have handed on a server connection that nobody has set up. So each
        // append brings along what its commit needs, and divides by zero (22012) on a server that would not keep it: `LogSession` knows.
        let guarded = """
            1 / (case when 'off' in (pg_catalog.current_setting('fsync', true), pg_catalog.current_setting('full_page_writes', true))
                  then 0 else 1 end),
                case when pg_catalog.current_setting('synchronous_commit') not in ('on', 'remote_apply')
                  then pg_catalog.set_config('synchronous_commit', 'on', true) end
            """
        append = Statement(
            """
            with advanced as (
              update \(schema).head set revision = $1::bigint, sub = $2::int, digest = $3::bigint, compact_revision = $4::bigint,
                  row_sum = \(Self.rowSum(plus: "$17::bigint"))
               where digest = $5::bigint and epoch = $6::bigint returning \(isGuarded ? guarded : "1"))
            insert into \(schema).changelog (\(Self.rowColumns), hash)
            select unnest($7::bigint[]), unnest($8::int[]), unnest($9::smallint[]), unnest($10::bytea[]), unnest($11::bytea[]),
              unnest($12::bigint[]), unnest($13::bigint[]), unnest($14::bigint[]), unnest($15::bigint[]), unnest($16::bigint[])
              from advanced
            """)
        appendMore = Statement(
            """
            insert into \(schema).changelog (\(Self.rowColumns), hash)
            select unnest($3::bigint[]), unnest($4::int[]), unnest($5::smallint[]), unnest($6::bytea[]), unnest($7::bytea[]),
              unnest($8::bigint[]), unnest($9::bigint[]), unnest($10::bigint[]), unnest($11::bigint[]), unnest($12::bigint[])
              from \(schema).head where digest = $1::bigint and epoch = $2::bigint
            """)
        readHead = Statement("select \(Self.headColumns) from \(schema).head")
        raiseEpoch = Statement("update \(schema).head set epoch = epoch + 1 returning epoch")
        lockHead = Statement("select \(Self.headColumns) from \(schema).head for update")
        // As `Head.isCompacted(to:)` says it.
        func isCompacted(_ revision: String) -> String {
            """
            exists (select 1 from \(schema).head where head.compact_revision >= \(revision)::bigint
              and head.compact_revision - \(revision)::bigint < \(compactionGapLimit))
            """
        }
        // Together or not at all: how much is gone up to a position is a matter of the compaction.
        let advances = "compact_revision <= $4::bigint and (revision, sub) <= ($5::bigint, $6::int)"
        // In one statement, so that whoever loads the log, or goes on with it on a standby that has taken over, knows of all that is gone.
        delete = Statement(
            """
            with allowed as (
              select 1 from \(schema).sweep where digest in ($7::bigint, $8::bigint) and \(isCompacted("$3")) and exists (
                 select 1 from \(schema).duty where name = 'steward' and holder = $9::bigint and expires_at > pg_catalog.now())
              for update),
            gone as (
              delete from \(schema).changelog where exists (select 1 from allowed) and (revision, sub) in (
                select d.revision, d.sub from unnest($1::bigint[], $2::int[]) as d(revision, sub)) returning hash),
            told as (
              update \(schema).sweep set compact_revision = case when \(advances) then $4::bigint else compact_revision end,
                  revision = case when \(advances) then $5::bigint else revision end,
                  sub = case when \(advances) then $6::int else sub end,
                  begun = greatest(begun, $3::bigint), digest = $8::bigint,
                  row_sum = \(Self.rowSum(plus: "(select (coalesce(sum(hash), 0) % \(RowHash.mask + 1))::bigint from gone)"))
               where exists (select 1 from allowed)
              returning 1)
            select exists (select 1 from told), (select count(*) from gone)
            """)
        let sweepColumns = "compact_revision, revision, sub, begun, digest"
        whyNotDeleted = Statement(
            """
            select \(sweepColumns), \(isCompacted("$1")), exists (
                select 1 from \(schema).duty where name = 'steward' and holder <> $2::bigint and expires_at > pg_catalog.now())
              from \(schema).sweep
            """)
        readSweep = Statement("select \(sweepColumns) from \(schema).sweep")
        readRowSums = Statement("select h.row_sum, s.row_sum from \(schema).head h, \(schema).sweep s")
        readKey = Statement(
            """
            select \(Self.rowColumns.split(separator: ", ").map { "c." + $0 }.joined(separator: ", ")) from \(schema).head h
              join \(schema).changelog c on c.revision = h.key_revision and c.sub = h.key_sub
            """)
        readValues = Statement(
            """
            select revision, sub, null::bytea, cluster_id, digest, epoch, compact_revision from \(schema).head
            union all
            select c.revision, c.sub, c.value, null, null, null, null from unnest($1::bigint[], $2::int[]) as r(revision, sub)
              join \(schema).changelog c on c.revision = r.revision and c.sub = r.sub
            """)
        // A hint that gets lost does no harm, so its commit need not wait for the disk.
        hint = Statement("select pg_catalog.set_config('synchronous_commit', 'off', true), pg_catalog.pg_notify($1::text, '')")
        databaseSizes = Statement(
            """
            select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint,
              coalesce(max(case when c.relname = 'changelog' then c.reltuples end), 0)::bigint
              from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
             where n.nspname = $1::text and c.relkind = 'r'
               and c.relname in ('head', 'changelog', 'member', 'duty', 'lease_deadline', 'sweep')
            """)
        upsertMember = Statement(
            """
            insert into \(schema).member (id, name, client_urls, seen_at) values ($1::bigint, $2::text, $3::text[], pg_catalog.now())
            on conflict (id) do update set name = excluded.name, client_urls = excluded.client_urls, seen_at = excluded.seen_at
            """)
        listMembers = Statement(
            """
            select id, name, client_urls, (extract(epoch from pg_catalog.now() - seen_at) * 1000)::bigint from \(schema).member
             where seen_at between pg_catalog.now() - $1::bigint * interval '1 millisecond'
               and pg_catalog.now() + $1::bigint * interval '1 millisecond' order by id
            """)
        deleteMember = Statement(
            """
            delete from \(schema).member where id = $1::bigint
              or seen_at not between pg_catalog.now() - interval '1 day' and pg_catalog.now() + interval '1 day'
            """)
    }

    /// The rows after a position and the head, in one statement, so that they belong together. Each row starts with the head's
    /// columns; without rows there is one, with nulls in the other columns. The first row comes however large it is, a further
    /// one only while those before it stay under the byte limit. Parameters: revision and sub.
    ///
    /// The row limit is part of the text, because the planner must know it to choose the index. `withHashes`: each row ends with its hash.
    func readTail(limit: Int, withHashes: Bool = false) -> Statement {
        Statement(
            """
            select h.cluster_id, h.revision, h.sub, h.digest, h.epoch, h.compact_revision,
              c.revision, c.sub, c.kind, c.key, c.value, c.create_revision, c.version, c.lease, c.origin\(withHashes ? ", c.hash" : "")
              from \(schema).head h left join lateral (
                select r.*, sum(octet_length(r.key) + octet_length(r.value))
                    over (order by r.revision, r.sub rows unbounded preceding) - octet_length(r.key) - octet_length(r.value) as earlier
                  from (select \(Self.rowColumns)\(withHashes ? ", hash" : "") from \(schema).changelog
                         where (revision, sub) > ($1::bigint, $2::int)
                         order by revision, sub limit \(limit)) r) c
                on c.earlier < \(chunkByteLimit)
            """)
    }

    /// The same at less than half the cost for the server, for a tail that is neither long nor made of large rows. A row of kind 0 is
    /// the head: revision, sub, two nulls, cluster id, digest, epoch, compact revision in place of the row's columns. A row that would
    /// take more than its share of the byte limit comes without key and value.
    func readRecent(limit: Int) -> Statement {
        func ifSmall(_ column: String) -> String {
            "case when octet_length(key) + octet_length(value) <= \(chunkByteLimit / limit) then \(column) end"
        }
        return Statement(
            """
            (select revision, sub, 0::smallint, null::bytea, null::bytea, cluster_id, digest, epoch, compact_revision from \(schema).head)
            union all
            (select revision, sub, kind, \(ifSmall("key")), \(ifSmall("value")), create_revision, version, lease, origin
               from \(schema).changelog where (revision, sub) > ($1::bigint, $2::int) order by revision, sub limit \(limit))
            """)
    }

    /// Rows after a position up to another, without values but where `RowKind.needsValue`, whose lengths come last but for their hashes; and
    /// the head, as `readTail`.
    /// Parameters: both positions.
    func readMetadata(limit: Int) -> Statement {
        Statement(
            """
            select h.cluster_id, h.revision, h.sub, h.digest, h.epoch, h.compact_revision,
              c.revision, c.sub, c.kind, c.key, case when c.kind in (\(Self.kindsWithValue)) then c.value else ''::bytea end, c.create_revision, c.version, c.lease, c.origin, octet_length(c.value),
              c.hash
              from \(schema).head h left join lateral (
                select \(Self.rowColumns), hash from \(schema).changelog
                 where (revision, sub) > ($1::bigint, $2::int) and (revision, sub) <= ($3::bigint, $4::int)
                 order by revision, sub limit \(limit)) c on true
            """)
    }

    /// The positions and hashes of rows after a position. Parameters: revision and sub.
    func readHashes(limit: Int) -> Statement {
        Statement(
            """
            select revision, sub, hash from \(schema).changelog where (revision, sub) > ($1::bigint, $2::int)
             order by revision, sub limit \(limit)
            """)
    }

    /// The position of the row that has so many newer ones. Parameter: how many.
    var findNewest: Statement {
        Statement("select revision, sub from \(schema).changelog order by revision desc, sub desc offset $1::bigint limit 1")
    }

    /// Gives the lock on the head row up where our process stalls while it holds it. In the transaction that takes the lock. To
    /// PostgreSQL a session is idle until the whole of the next message has arrived, however long it takes to.
    func limitLockHold(ms: Int64) -> Statement {
        Statement("set local idle_in_transaction_session_timeout = \(ms)")
    }

    /// Makes the server say so where a lock can't be had for this long, rather than nothing at all.
    static func limitLockWait(ms: Int64) -> Statement { Statement("select set_config('lock_timeout', '\(ms)', false)") }

    /// When the server was started, in microseconds: another number says that it is another server, or was restarted.
    static let serverStart = Statement("select (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint")

    /// Says that we are still there.
    static let ping = Statement("select 1")
}
