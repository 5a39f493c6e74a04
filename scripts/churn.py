"""What scripts/upkeep churn runs."""

import argparse
import threading
import time

from etcd_calls import Etcd
from lab import bench, cpu_seconds, median, Member, mib, milliseconds, must, Postgres, run, verdict


class Compactor:
    """Compacts as soon as `every` revisions have been written since the last time, keeping the last `every`."""

    def __init__(self, member, every):
        self.etcd, self.every, self.count = Etcd(member.endpoint), every, 0
        self.running = True
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        last = self.etcd.revision()
        while self.running:
            revision = self.etcd.revision()
            if revision - last >= self.every:
                self.etcd.compact(revision - self.every)
                last = revision
                self.count += 1
            time.sleep(0.1)

    def stop(self):
        self.running = False
        self.thread.join()


def without_compaction(pine, member, keys, value_size, requests):
    """What a version costs in memory beside its value, and whether that comes back."""
    before, metrics = member.resident_bytes(), member.metrics()
    must(bench(pine, member, f"put:keys={keys}", "--value-size", value_size, "--requests", requests, "--warm-up", 0))
    after, now = member.resident_bytes(), member.metrics()
    versions = now["pine_key_versions"] - metrics["pine_key_versions"]
    values = now["pine_value_cache_bytes"] - metrics["pine_value_cache_bytes"]
    print(f"{versions:,.0f} versions without compaction: memory from {mib(before)} to {mib(after)}, values {mib(values)}, "
          f"{(after - before - values) / versions:.0f} bytes a version beside them (recent rows, which are bounded, included)", flush=True)
    etcd = Etcd(member.endpoint)
    began = time.monotonic()
    etcd.compact(etcd.revision(), physical=True)
    took = time.monotonic() - began
    time.sleep(2)
    back = member.resident_bytes()
    print(f"compacted within {took:.1f} s: {member.metrics()['pine_key_versions']:,.0f} versions left, memory {mib(back)}", flush=True)
    return before, after, back


def churn(pine, keys, value_size, rounds, rate, every, history, folder):
    problems, looks = [], []
    postgres = Postgres(folder, {"autovacuum_naptime": "15s"})
    member = Member(pine, postgres.url, folder)
    compactor = None
    try:
        member.start()
        if history:
            before, after, back = without_compaction(pine, member, keys, value_size, history)
            if back - before > (after - before) * 0.3 + (64 << 20):
                problems.append(f"memory stayed at {mib(back)} after compaction")
        compactor = Compactor(member, every)
        print("round  put p50   p99      table     long      index    memory   versions  dead rows  CPU of a core", flush=True)
        for number in range(1, rounds + 1):
            cpu, began = cpu_seconds(member.process.pid) + postgres.cpu_seconds(), time.monotonic()
            result = must(bench(
                pine, member, f"put:keys={keys}", "--value-size", value_size, "--requests", keys, "--warm-up", 0, "--rate", rate,
                "--seed", number))
            share = (cpu_seconds(member.process.pid) + postgres.cpu_seconds() - cpu) / (time.monotonic() - began)
            rows, long_values, index = postgres.sizes()
            dead = postgres.ask("select n_dead_tup from pg_stat_user_tables where relname = 'changelog'")
            look = dict(p99=milliseconds(result, "p99"), table=rows + long_values, index=index, memory=member.resident_bytes())
            looks.append(look)
            print(f"{number:5} {milliseconds(result, 'p50'):6.2f} ms {look['p99']:6.2f} ms {mib(rows):>9} {mib(long_values):>9} "
                  f"{mib(index):>9} {mib(look['memory']):>9} {member.metrics()['pine_key_versions']:9,.0f} {int(dead):10,} {share:8.2f}",
                  flush=True)
        compactor.stop()
        quarter = max(1, rounds // 4)
        for name, slack, floor in (("table", 1.15, 8 << 20), ("index", 1.15, 4 << 20), ("memory", 1.1, 16 << 20), ("p99", 1.5, 5)):
            second = median([look[name] for look in looks[quarter:quarter * 2] or looks])
            last = median([look[name] for look in looks[-quarter:]])
            if last > second * slack + floor:
                problems.append(f"{name} rose from {second:,.2f} to {last:,.2f}")
        print(f"{compactor.count} compactions; autovacuum came "
              + postgres.ask("select autovacuum_count from pg_stat_user_tables where relname = 'changelog'") + " times")
    finally:
        if compactor:
            compactor.stop()
        if hasattr(member, "process"):
            member.stop()
        postgres.stop()
    return verdict("churn", problems)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pine", required=True)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--value-size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--rate", type=int, default=4_000, help="puts a second")
    parser.add_argument("--every", type=int, default=5_000, help="revisions between two compactions")
    parser.add_argument("--history", type=int, default=1_000_000, help="puts without compaction before that")
    arguments = parser.parse_args()
    run("churn", lambda folder: churn(
        arguments.pine, arguments.keys, arguments.value_size, arguments.rounds, arguments.rate, arguments.every, arguments.history, folder))


main()
