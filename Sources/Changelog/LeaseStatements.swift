// Owns: the statements on the leases' deadlines and on the steward's duty, for one schema.
// Rows are locked in the order of their ids, so that two processes that set the same deadlines don't wait for each other in a
// circle; who expires or removes waits for nobody.

struct LeaseStatements: Sendable {
    let set: Statement
    let ensure: Statement
    let remove: Statement
    let read: Statement
    let findDue: Statement
    /// In the transaction that locks the head.
    let expire: Statement
    /// Holds on to the duty, unless it has lapsed.
    let renewDuty: Statement
    /// Takes the duty if it is free, has lapsed, or ends later than anybody can have renewed it to: then its end is of another clock,
    /// and its holder dead, or it would have renewed it since. Gives how many milliseconds the one before still had by this clock.
    let takeDuty: Statement
    /// How long somebody still has the duty, and how far the steward has come with deleting.
    let readDuty: Statement
    let releaseDuty: Statement

    init(schema: String) {
        let deadlines = "\(schema).lease_deadline"
        let duty = "\(schema).duty"
        let isSteward =
            "exists (select 1 from \(duty) where name = 'steward' and holder = $1::bigint and expires_at > pg_catalog.now())"
        // Parameters: leases and their terms in milliseconds, parallel; `set` takes the grace in milliseconds as well.
        let terms = "unnest($1::bigint[], $2::bigint[]) as r(lease, ms)"
        set = Statement(
            """
            insert into \(deadlines) as d (lease, expires_at)
            select r.lease, pg_catalog.now() + r.ms * interval '1 millisecond' from \(terms) order by r.lease
            on conflict (lease) do update set expires_at = greatest(
              excluded.expires_at, least(d.expires_at, excluded.expires_at + $3::bigint * interval '1 millisecond'))
            """)
        ensure = Statement(
            """
            insert into \(deadlines) (lease, expires_at)
            select r.lease, pg_catalog.now() + r.ms * interval '1 millisecond' from \(terms)
              left join \(deadlines) d on d.lease = r.lease
             where d.lease is null or d.expires_at > pg_catalog.now() + r.ms * interval '1 millisecond' order by r.lease
            on conflict (lease) do update set expires_at = excluded.expires_at
            """)
        remove = Statement(
            """
            delete from \(deadlines) where lease in (
              select lease from \(deadlines) where lease = any($1::bigint[]) order by lease for update skip locked)
            """)
        read = Statement(
            """
            select lease, (extract(epoch from expires_at - pg_catalog.now()) * 1000)::bigint
              from \(deadlines) where lease = any($1::bigint[])
            """)
        // Parameters: the holder, and how many at most. A pass over the table: an index on the time would cost each keep-alive more
        // than this costs the steward.
        findDue = Statement(
            """
            select lease, expires_at < pg_catalog.now(), (extract(epoch from expires_at - pg_catalog.now()) * 1000)::bigint
              from \(deadlines) where \(isSteward) order by expires_at, lease limit $2::bigint
            """)
        // Parameters: the holder and the leases. What somebody is just keeping alive is locked, and is skipped.
        expire = Statement(
            """
            delete from \(deadlines) where lease in (
              select lease from \(deadlines) where lease = any($2::bigint[]) and expires_at < pg_catalog.now() and \(isSteward)
               order by lease for update skip locked)
            returning lease
            """)
        // Parameters: the holder, and the term in milliseconds.
        let end = "pg_catalog.now() + $2::bigint * interval '1 millisecond'"
        renewDuty = Statement(
            "update \(duty) set expires_at = \(end) where name = 'steward' and holder = $1::bigint and expires_at > pg_catalog.now()")
        takeDuty = Statement(
            """
            with before as (
              select (extract(epoch from expires_at - pg_catalog.clock_timestamp()) * 1000)::bigint as left_ms
                from \(duty) where name = 'steward')
            insert into \(duty) as d (name, holder, expires_at) values ('steward', $1::bigint, \(end))
            on conflict (name) do update set holder = excluded.holder, expires_at = excluded.expires_at
             where d.expires_at <= pg_catalog.now()
               or d.expires_at > pg_catalog.clock_timestamp() + ($2::bigint + \(dutyTolerance.wholeMs)) * interval '1 millisecond'
            returning (select left_ms from before)
            """)
        readDuty = Statement(
            """
            select greatest(0, (extract(epoch from d.expires_at - pg_catalog.now()) * 1000)::bigint), s.compact_revision, s.revision, s.sub
              from \(schema).sweep s left join \(duty) d on d.name = 'steward'
            """)
        releaseDuty = Statement("delete from \(duty) where name = 'steward' and holder = $1::bigint")
    }
}

/// So much later than one term the duty may end: the clocks of a database's nodes differ, and are put right in small steps.
let dutyTolerance = Duration.seconds(1)
