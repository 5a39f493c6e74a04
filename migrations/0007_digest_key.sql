-- A secret key a store, under which the rows of the log are hashed, and what it takes to notice rows that are missing or altered.
-- The key is a row of the log: from here on changelog.kind may also be 7, the store's key (create_revision and version are its halves).
-- All rows after it are hashed under it. A store that Pine makes from here on has it before its first row, at revision 0; an older store
-- gets one by `pine migrate --key-digest`, once no older Pine runs: those can't read such a row, and stop serving.
--
-- The tables in the order in which statements lock them, since members may be at work.

-- The sum of the hashes of all rows that were deleted, modulo 2^62. Null while the store has no key.
alter table :"schema".sweep add column row_sum bigint;

alter table :"schema".head
    -- The same of all rows that were ever appended. What is left of it after taking away the other is the sum over the rows that are there.
    add column row_sum bigint,
    -- Where the row with the key is.
    add column key_revision bigint,
    add column key_sub int;

-- The hash of the whole row under the key; null for rows from before it. Numbers of 62 bits, so that two of them can be added.
alter table :"schema".changelog add column hash bigint;

-- People have no use for the key.
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
  from :"schema".changelog where kind <> 7 order by revision, sub;
