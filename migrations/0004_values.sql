-- Values are stored as they came. PostgreSQL would try to compress those of more than 2 kB, with a method that takes longer than all
-- the rest of an append, and whoever sends large values that compress well may as well compress them himself.
alter table :"schema".changelog alter column value set storage external;
