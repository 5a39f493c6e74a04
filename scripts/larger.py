"""What scripts/upkeep larger runs."""

import argparse
import os
import random
import time

from etcd_calls import Etcd, KeyValue
from lab import bench, LabError, Member, mib, milliseconds, must, Postgres, run, verdict

# What a process takes beside keys, index and values: itself, what is under way, and what the allocator keeps.
BESIDE = 96 << 20


class Look:
    """Runs of `pine bench` with what they cost the cache."""

    def __init__(self, pine, member, keys, value_size):
        self.pine, self.member, self.common = pine, member, ["--value-size", value_size]
        self.keys, self.peak = keys, 0

    def watch_memory(self):
        self.peak = max(self.peak, self.member.resident_bytes())

    def run(self, name, clients, *arguments):
        before = self.member.metrics()
        # Without a warm-up, so that all values read are of requests that are counted.
        sharing = ["--clients", clients, "--connections", min(clients, 4), "--warm-up", 0]
        result = must(bench(self.pine, self.member, *arguments, *sharing, *self.common))
        after = self.member.metrics()
        read = after["pine_values_read_total"] - before["pine_values_read_total"]
        self.watch_memory()
        print(f"{name}: {result['requestsPerSecond']:,.0f} a second, p50 {milliseconds(result, 'p50'):.2f}, "
              f"p99 {milliseconds(result):.2f} ms; {read:,.0f} values read for {result['requests']:,} requests", flush=True)
        return 1 - read / max(result["requests"], 1)


def timed(name, count, body):
    began, slowest = time.monotonic(), 0
    for number in range(count):
        start = time.monotonic()
        body(number)
        slowest = max(slowest, time.monotonic() - start)
    took = time.monotonic() - began
    print(f"{name}: {count} right answers, {took / count * 1e3:.2f} ms on average, at most {slowest * 1e3:.1f} ms", flush=True)


def check(condition, what):
    if not condition:
        raise LabError(f"wrong answer: {what}")


def larger(pine, keys, value_size, cache, folder):
    problems = []
    postgres = Postgres(folder, {"shared_buffers": "256MB"})
    member = Member(pine, postgres.url, folder, "pine", ["--value-cache-bytes", str(cache)])
    chance = random.Random(int(os.environ.get("PINE_TEST_SEED", "1")))
    try:
        member.start()
        look = Look(pine, member, keys, value_size)
        look.run("filled", 32, f"get:keys={keys}", "--duration", 1)
        etcd = Etcd(member.endpoint)
        names = [key.key for key in etcd.range(b"/registry/", b"/registry0", limit=1)]
        prefix = names[0][:names[0].rindex(b"/") + 1]
        filled = etcd.revision()
        print(f"{keys:,} keys, {mib(keys * value_size)} of values, cache {mib(cache)}; memory {mib(member.resident_bytes())}", flush=True)

        hits = look.run("gets of any key, 16 in flight", 16, f"get:keys={keys}", "--duration", 10)
        print(f"hit rate {hits:.1%}; {cache / (keys * value_size):.1%} of the values have room")
        hits = look.run("gets of 5,000 keys of which some are in use all the time, 16 in flight", 16, "get:keys=5000",
                        "--prefix", "/hot/", "--duration", 10)
        print(f"hit rate {hits:.1%}")
        look.run("one get at a time", 1, f"get:keys={keys}", "--duration", 5)
        look.run("pages of a list, 4 in flight", 4, f"list:keys={keys}", "--duration", 10)

        # What follows is compared with what these keys had first.
        all_keys = etcd.call("Range", {1: prefix, 2: prefix[:-1] + b"0", 8: True, 3: keys})[2]
        sample = chance.sample([KeyValue(data).key for data in all_keys], min(1_000, keys // 4))
        first = {}

        def remember(number):
            first[sample[number]] = etcd.range(sample[number])[0].value
        timed("reads of single cold keys", len(sample), remember)

        half = len(sample) // 2
        def put(number):
            key = sample[number]
            revision, before = etcd.put(key, b"second %d" % number, prev_kv=True)
            check(before is not None and before.value == first[key], f"prev_kv of {key}")
        timed("puts with prev_kv of cold values", half, put)

        def compare(number):
            key = sample[half + number]
            check(not etcd.put_if_value(key, b"something else", b"wrong"), f"a compare of {key}")
            check(etcd.put_if_value(key, first[key], b"third"), f"a compare of {key}")
        timed("two transactions that compare a cold value", len(sample) - half, compare)

        def past(number):
            key = sample[number]
            check(etcd.range(key, revision=filled)[0].value == first[key], f"{key} at revision {filled}")
        timed("reads at an old revision", len(sample), past)

        def page(number):
            key = sample[number]
            found = etcd.range(key, prefix[:-1] + b"0", revision=filled, limit=500)
            check(found[0].value == first[key] and len(found) > 0, f"a list from {key} at revision {filled}")
        timed("lists of 500 keys at an old revision", 50, page)
        look.watch_memory()

        began, seen, last = time.monotonic(), 0, 0
        rewritten = {}
        goal = keys + len(sample)
        for kind, pair, before in etcd.watch(prefix, prefix[:-1] + b"0", 2, prev_kv=True):
            seen += 1
            check(pair.mod_revision >= last, "events out of order")
            last = pair.mod_revision
            if before is not None:
                check(before.value == first[pair.key], f"prev_kv of an event of {pair.key}")
                rewritten[pair.key] = pair.value
            if seen == goal:
                break
            if seen % 50_000 == 0:
                look.watch_memory()
        took = time.monotonic() - began
        check(set(rewritten) == set(sample), "events of the rewritten keys")
        print(f"a watch from revision 2 with prev_kv: {seen:,} events in {took:.0f} s, {seen / took:,.0f} a second", flush=True)

        metrics = member.metrics()
        index = metrics["pine_index_bytes"] + metrics["pine_key_bytes"]
        print(f"memory at most {mib(look.peak)}; cache {mib(cache)}, keys and index {mib(index)}, {metrics['pine_value_cache_evictions_total']:,.0f} "
              "values had to go")
        if look.peak > cache + index + BESIDE:
            problems.append(f"memory of {mib(look.peak)}")
        member.stop()
        took = member.start()
        print(f"started again within {took:.1f} s, memory {mib(member.resident_bytes())}")
        check(etcd_value(member, sample[0]) == b"second 0", "after the restart")
    finally:
        if hasattr(member, "process"):
            member.stop()
        postgres.stop()
    return verdict("larger", problems)


def etcd_value(member, key):
    return Etcd(member.endpoint).range(key)[0].value


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pine", required=True)
    parser.add_argument("--keys", type=int, default=524_288)
    parser.add_argument("--value-size", type=int, default=4_096)
    parser.add_argument("--cache", type=int, default=64, help="MiB")
    arguments = parser.parse_args()
    run("larger", lambda folder: larger(arguments.pine, arguments.keys, arguments.value_size, arguments.cache << 20, folder))


main()
