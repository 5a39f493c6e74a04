-- Which rows have been deleted, to the row: who has read the tables at one point, and deletes rows at another, must know that all those
-- are gone that he did not find. After a standby has taken over some may be back.
alter table :"schema".sweep
    -- The newest compaction because of which rows have been deleted; not all that it made dead, where the rest of the row says less.
    add column begun bigint not null default -1,
    -- A rolling hash of the positions of all rows that were deleted, in order.
    add column digest bigint not null default 0;

-- What was deleted before is not known to the row: at most all that the newest compaction made dead.
update :"schema".sweep set begun = coalesce((select compact_revision from :"schema".head), begun);
