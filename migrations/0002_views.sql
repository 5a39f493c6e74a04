-- For people who look at the store with psql. Pine itself never reads these views.
-- Keys and values are shown as text, bytes that aren't plain ASCII as \000 or \377, a backslash twice; the bytes themselves
-- are there too. Both views read the whole log: fine for a look, nothing for a dashboard.

-- Each key that exists, as its last put left it.
create view :"schema".current_keys as
select encode(key, 'escape') as key, encode(value, 'escape') as value, create_revision, mod_revision, version, lease,
       octet_length(value) as value_bytes, key as raw_key, value as raw_value
  from (select distinct on (key) key, value, create_revision, revision as mod_revision, version, lease, kind
          from :"schema".changelog where kind in (1, 2) order by key, revision desc, sub desc) latest
 where kind = 1;

-- What happened since the last compaction, in order. The columns that say nothing of a kind of row are null.
create view :"schema".history as
select revision, sub,
       case kind when 1 then 'put' when 2 then 'delete' when 3 then 'lease granted' when 4 then 'lease revoked'
                 when 5 then 'compacted' else 'kind ' || kind end as what,
       case when kind in (1, 2) then encode(key, 'escape') end as key,
       case when kind = 1 then encode(value, 'escape') end as value,
       case when kind = 1 then create_revision end as create_revision,
       case when kind = 1 then version end as version,
       case when kind in (1, 3, 4) and lease <> 0 then lease end as lease,
       case when kind = 3 then version end as ttl_seconds,
       case when kind = 5 then version end as compacted_below,
       origin as appended_by
  from :"schema".changelog order by revision, sub;
