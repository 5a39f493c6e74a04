-- The log, its head, and the small tables beside it. Pine applies these files itself, in order, each in a transaction;
-- by hand: psql -v schema=pine -1 -f migrations/0001_log.sql
--
-- Nothing here that PostgreSQL's distributed relatives lack: no sequences, triggers or procedures.

-- One row: where the log ends. Every append updates it, conditional on digest and epoch, so it orders all writers.
create table :"schema".head (
    cluster_id bigint not null,
    revision bigint not null,
    sub int not null,
    -- The rolling hash of every row up to (revision, sub).
    digest bigint not null,
    -- Raised by a process that must know that no earlier append can still succeed.
    epoch bigint not null,
    -- -1 until something is compacted.
    compact_revision bigint not null
);

-- The log. A row is complete in itself, so that it can be folded after compaction has removed older rows.
create table :"schema".changelog (
    revision bigint not null,
    sub int not null,
    -- 1 put, 2 delete, 3 grant, 4 revoke, 5 compact.
    kind smallint not null,
    key bytea not null,
    value bytea not null,
    create_revision bigint not null,
    version bigint not null,
    lease bigint not null,
    -- Which process appended the row.
    origin bigint not null,
    primary key (revision, sub)
);

-- Who is alive.
create table :"schema".member (
    id bigint primary key,
    name text not null,
    client_urls text[] not null,
    seen_at timestamptz not null
);

-- Who does the chores.
create table :"schema".duty (
    name text primary key,
    holder bigint not null,
    expires_at timestamptz not null
);

-- When each lease ends, by this server's clock.
-- Half of each page is left free, so that a keep-alive's new version finds room beside the old one and no index is touched.
create table :"schema".lease_deadline (
    lease bigint primary key,
    expires_at timestamptz not null
) with (fillfactor = 50);
