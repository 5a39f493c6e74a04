"""What scripts/upkeep backlog runs."""

import argparse
import concurrent.futures
import re
import time

from etcd_calls import Etcd, message
from lab import bench, bench_result, LabError, median, Member, mib, milliseconds, must, Postgres, run, verdict

BATCH = 100


def pile_up(etcd, keys, rows):
    """Rewrites every key again and again, in transactions, until there are so many rows that a compaction makes dead."""
    def rewrite(number):
        first = number * BATCH % keys
        puts = [message({2: message({1: b"/backlog/%08d" % (first + index), 2: b"%016d" % number})}) for index in range(BATCH)]
        etcd.call("Txn", {2: puts})

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for done in pool.map(rewrite, range((rows + keys) // BATCH)):
            pass


def writers(pine, member, rate, seconds):
    return bench(pine, member, "put:keys=10000", "--rate", rate, "--duration", seconds, "--connections", 4, "--streams", 25)


def backlog(pine, keys, rows, rate, folder):
    problems = []
    postgres = Postgres(folder, {"autovacuum_naptime": "15s"})
    member = Member(pine, postgres.url, folder)
    try:
        member.start()
        etcd = Etcd(member.endpoint)
        began = time.monotonic()
        pile_up(etcd, keys, rows)
        metrics = member.metrics()
        print(f"{rows:,} superseded rows after {time.monotonic() - began:.0f} s; memory {mib(member.resident_bytes())}, "
              f"{metrics['pine_key_versions']:,.0f} versions, tables " + ", ".join(mib(size) for size in postgres.sizes()), flush=True)
        # What filling left behind for PostgreSQL to do is not what is measured here: pages to write, and no log file yet to use again.
        postgres.ask("checkpoint")
        before = [must(writers(pine, member, rate, 30)) for _ in range(3)]
        for result in before:
            print(f"writers before: p50 {milliseconds(result, 'p50'):.2f}, p99 {milliseconds(result):.2f} ms at {rate} puts a second", flush=True)

        began = time.monotonic()
        process = writers(pine, member, rate, 30)
        during, done = [], False
        time.sleep(3)
        compacted = etcd.revision() - 1_000
        etcd.compact(compacted)
        started = told = time.monotonic()
        while not done or process is not None:
            left = member.metrics()["pine_sweep_backlog_rows"]
            done = left == 0
            if time.monotonic() - told >= 10:
                told = time.monotonic()
                print(f"{told - started:4.0f} s: about {left:,.0f} rows left, memory {mib(member.resident_bytes())}", flush=True)
            if process is not None and process.poll() is not None:
                result, errors = bench_result(process)
                if errors:
                    problems.append(f"writers met {errors}")
                else:
                    during.append(result)
                process = None if done else writers(pine, member, rate, 30)
            if not done:
                took = time.monotonic() - started
            if time.monotonic() - started > 3_600:
                raise LabError("the backlog was not worked off within an hour")
            time.sleep(0.5)
        print(f"worked off after {took:.0f} s, {rows / took:,.0f} rows a second")
        for result in during:
            print(f"writers meanwhile: p50 {milliseconds(result, 'p50'):.2f}, p99 {milliseconds(result):.2f} ms")
        lines = len(re.findall("deleting what compaction made dead", member.log))
        print(f"{lines} lines of progress in the log")
        if lines == 0 and took > 15:
            problems.append("no progress in the log")
        ratio = median([milliseconds(result) for result in during]) / median([milliseconds(result) for result in before])
        print(f"p99 of writers during it is {ratio:.2f} of the usual")
        if ratio > 1.5:
            problems.append(f"p99 was {ratio:.2f} of the usual")
        left = int(postgres.ask("select count(*) from pine.changelog"))
        wanted = keys + 10_000 + etcd.revision() - compacted
        print(f"{left:,} rows left, of which {wanted:,} at most are of keys or newer than the compaction; memory {mib(member.resident_bytes())}")
        if left > wanted + 100:
            problems.append(f"{left:,} rows are left")
    finally:
        if hasattr(member, "process"):
            member.stop()
        postgres.stop()
    return verdict("backlog", problems)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pine", required=True)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rate", type=int, default=500, help="puts a second of the writers beside it")
    arguments = parser.parse_args()
    run("backlog", lambda folder: backlog(arguments.pine, arguments.keys, arguments.rows, arguments.rate, folder))


main()
