-- What keeps the tables small and quick for years: how PostgreSQL's autovacuum treats each of them, and how far the steward has
-- come with deleting what compaction made dead.
--
-- From here on changelog.kind may also be 6, alarm: lease is the member, create_revision the alarm, version 0 where it was
-- disarmed, 1 where a client raised it and 2 where the quota did.

-- Rows come at one end and go, in order of age more or less, at the other; none is ever updated. Vacuum whenever a few per cent
-- are dead instead of a fifth, and quickly enough for the rate at which the steward deletes.
alter table :"schema".changelog set (
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_limit = 2000,
    toast.autovacuum_vacuum_scale_factor = 0.05,
    toast.autovacuum_vacuum_threshold = 20000,
    toast.autovacuum_vacuum_cost_limit = 2000
);

-- One row that every append updates: room for many versions beside it, which each update may clear away (there is no index).
alter table :"schema".head set (
    fillfactor = 10,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);

alter table :"schema".lease_deadline set (
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0
);

alter table :"schema".duty set (
    fillfactor = 10,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000
);

-- One row: what of the dead is gone. Processes that are not the steward remember dead rows until this says that they are deleted,
-- so that any of them can go on where a steward stopped.
create table :"schema".sweep (
    -- Of this compaction, lease rows, alarms, marks and kept tombstones are gone,
    compact_revision bigint not null,
    -- and of the keys' rows those that rows up to here superseded.
    revision bigint not null,
    sub int not null
) with (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

insert into :"schema".sweep (compact_revision, revision, sub) values (-1, 0, -1);

-- The same for people: what the new kind of row says.
create or replace view :"schema".history as
select revision, sub,
       case kind when 1 then 'put' when 2 then 'delete' when 3 then 'lease granted' when 4 then 'lease revoked'
                 when 5 then 'compacted' when 6 then case version when 0 then 'alarm disarmed' else 'alarm raised' end
                 else 'kind ' || kind end as what,
       case when kind in (1, 2) then encode(key, 'escape') end as key,
       case when kind = 1 then encode(value, 'escape') end as value,
       case when kind = 1 then create_revision end as create_revision,
       case when kind = 1 then version end as version,
       case when kind in (1, 3, 4) and lease <> 0 then lease end as lease,
       case when kind = 3 then version end as ttl_seconds,
       case when kind = 5 then version end as compacted_below,
       origin as appended_by
  from :"schema".changelog order by revision, sub;
