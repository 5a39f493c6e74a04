-- Vacuum at PostgreSQL's own pace: 0003 let it run ten times as fast, and those who wrote meanwhile felt it more than the deletions that it
-- came for. Its own pace is still several times what any rate of writes leaves behind.
alter table :"schema".changelog reset (autovacuum_vacuum_cost_limit, toast.autovacuum_vacuum_cost_limit);
