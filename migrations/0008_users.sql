-- Users and roles are rows of the log: from here on changelog.kind may also be 8, a user (key is the name, value the user with roles and
-- password hash, empty where it was deleted), 9, a role (key is the name, value its permissions, empty where it was deleted), and 10, whether
-- auth is enabled (create_revision is 1 or 0, value the secret that tokens are signed with). version is the auth revision after the row. An
-- older Pine can't read such a row, and stops serving a store that has one.

-- People see who was changed, never a hash or a secret.
create or replace view :"schema".history as
select revision, sub,
       case kind when 1 then 'put' when 2 then 'delete' when 3 then 'lease granted' when 4 then 'lease revoked'
                 when 5 then 'compacted' when 6 then case version when 0 then 'alarm disarmed' else 'alarm raised' end
                 when 8 then case octet_length(value) when 0 then 'user deleted' else 'user changed' end
                 when 9 then case octet_length(value) when 0 then 'role deleted' else 'role changed' end
                 when 10 then case create_revision when 0 then 'auth disabled' else 'auth enabled' end
                 else 'kind ' || kind end as what,
       case when kind in (1, 2, 8, 9) then encode(key, 'escape') end as key,
       case when kind = 1 then encode(value, 'escape') end as value,
       case when kind = 1 then create_revision end as create_revision,
       case when kind = 1 then version end as version,
       case when kind in (1, 3, 4) and lease <> 0 then lease end as lease,
       case when kind = 3 then version end as ttl_seconds,
       case when kind = 5 then version end as compacted_below,
       origin as appended_by
  from :"schema".changelog where kind <> 7 order by revision, sub;
