"""What scripts/upkeep millions runs. Standard library only."""

import argparse
import re

from lab import bench, cpu_seconds, Member, mib, must, Postgres, run, verdict

MEMORY_LIMIT = 200
LOAD_LIMIT = 20


def measure(name, member, keys, base, problems):
    """Starts the member and says how long that took and what a key costs it."""
    took = member.start()
    cpu = cpu_seconds(member.process.pid)
    metrics = member.metrics()
    resident = member.resident_bytes()
    found = int(metrics["etcd_debugging_mvcc_keys_total"])
    if found < keys:
        problems.append(f"{name}: {found} keys of {keys}")
    contents = metrics["pine_key_bytes"] + metrics["pine_value_cache_bytes"]
    a_key = (resident - base - contents) / found
    progress = len(re.findall("loading|loaded", member.log))
    print(f"{name}: {found} keys served after {took:.1f} s ({cpu:.1f} s of CPU), memory {mib(resident)}: keys "
          f"{mib(metrics['pine_key_bytes'])}, values {mib(metrics['pine_value_cache_bytes'])}, and {a_key:.0f} bytes a key beside them "
          f"(of which the index counts {metrics['pine_index_bytes'] / found:.0f}); {progress} lines of progress", flush=True)
    if a_key > MEMORY_LIMIT:
        problems.append(f"{name}: {a_key:.0f} bytes a key")
    if took > LOAD_LIMIT * max(1, keys / 2_000_000):
        problems.append(f"{name}: {took:.1f} s")


def millions(pine, keys, value_size, folder):
    problems = []
    postgres = Postgres(folder, {"shared_buffers": "256MB"})
    members = []
    try:
        first = Member(pine, postgres.url, folder, "first")
        members.append(first)
        first.start()
        base = first.resident_bytes()
        print(f"an empty Pine takes {mib(base)}", flush=True)
        filled = must(bench(pine, first, f"count:keys={keys}", "--value-size", value_size, "--duration", 1, "--warm-up", 0))
        print(f"filled: {filled['keys']} keys of {value_size} bytes; tables and index: "
              + ", ".join(mib(size) for size in postgres.sizes()), flush=True)
        metrics = first.metrics()
        print(f"memory of who wrote them: {mib(first.resident_bytes())}, "
              f"{(first.resident_bytes() - base - metrics['pine_key_bytes'] - metrics['pine_value_cache_bytes']) / keys:.0f} bytes a key "
              "beside keys and values", flush=True)
        first.stop()
        postgres.ask("vacuum analyze pine.changelog")
        for name, arguments in (("all values in memory", []), ("64 MiB of values in memory", ["--value-cache-bytes", "64MiB"])):
            member = Member(pine, postgres.url, folder, name.split()[0], arguments)
            members.append(member)
            measure(name, member, keys, base, problems)
            member.stop()
    finally:
        for member in members:
            if hasattr(member, "process"):
                member.stop()
        postgres.stop()
    return verdict("millions", problems)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pine", required=True)
    parser.add_argument("--keys", type=int, default=2_000_000)
    parser.add_argument("--value-size", type=int, default=512)
    arguments = parser.parse_args()
    run("millions", lambda folder: millions(arguments.pine, arguments.keys, arguments.value_size, folder))


main()
