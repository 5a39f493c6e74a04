"""What scripts/soak runs: processes, load, kills, and the verdict. Standard library only."""

import argparse
import os
import random
import re
import time

from lab import bench, bench_result, cpu_seconds, median, Member, mib, Postgres, run, verdict

# What etcd's clients try again by themselves: a status that says so, or a connection that is lost.
RETRYABLE = re.compile(r"unavailable|leader changed|request timed out|connection|closed|reset|refused|EOF|server stopped", re.I)


class Load:
    """A cluster's load on one member, round after round."""

    def __init__(self, pine, member, nodes, number, problems):
        self.pine, self.member, self.nodes, self.number, self.problems = pine, member, nodes, number, problems
        self.process, self.rounds, self.requests, self.losses = None, 0, 0, 0
        self.disturbed = False
        self.cpu = 0.0
        self.errors = {}

    def tend(self, seconds):
        """Starts the next round where none runs."""
        if self.process is not None:
            if self.process.poll() is None:
                return
            self.judge()
        if seconds < 5:
            return
        self.rounds += 1
        self.disturbed = False
        self.process = bench(
            self.pine, self.member, "kubernetes", "--duration", int(min(seconds, 300)), "--nodes", self.nodes, "--connections", 4,
            "--seed", self.rounds * 3 + self.number, "--prefix", f"/registry/{self.member.name}/")

    def judge(self):
        result, errors = bench_result(self.process)
        self.process = None
        self.requests += result.get("requests", 0)
        for error, count in errors.items():
            self.errors[error] = self.errors.get(error, 0) + count
            if not RETRYABLE.search(error):
                self.problems.append(f"{self.member.name}: {count} times: {error}")
            elif not self.disturbed:
                self.problems.append(f"{self.member.name} was not killed, and its clients had {count} times: {error}")

    def end(self):
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


def quiet_state(members, postgres):
    """Revision and digest of every member, once all are at the log's end, and the log's own."""
    deadline = time.monotonic() + 60
    while True:
        found = [(int(m["etcd_debugging_mvcc_current_revision"]), int(m["pine_log_digest"]))
                 for m in (member.metrics() for member in members)]
        revision, digest = postgres.ask("select revision, digest & 4294967295 from pine.head").split("|")
        if len(set(found)) == 1 and found[0] == (int(revision), int(digest)):
            return found, None
        if time.monotonic() > deadline:
            return found, (int(revision), int(digest))
        time.sleep(0.5)


def soak(pine, minutes, nodes, folder):
    seed = int(os.environ.get("PINE_TEST_SEED", random.randrange(1 << 32)))
    print(f"seed {seed}", flush=True)
    chance = random.Random(seed)
    problems, samples, tables = [], [], []
    members, loads = [], []
    kills = 0
    postgres = Postgres(folder)
    try:
        for number in range(3):
            # One after the other: the first makes the tables.
            members.append(Member(pine, postgres.url, folder, f"pine-{number}", ["--auto-compaction-retention", "1m"]))
            members[-1].start()
        loads = [Load(pine, member, nodes, number, problems) for number, member in enumerate(members)]
        begin = time.monotonic()
        end = begin + minutes * 60
        next_kill, next_look = begin + 60, begin
        spared = None
        cpu_before = postgres.cpu_seconds()
        while time.monotonic() < end:
            now = time.monotonic()
            # In the second half one lives on: memory that grows shows in a long life only. Until then any is killed.
            if spared is None and now >= begin + minutes * 30:
                spared = min(members, key=lambda member: member.started)
            if now >= next_kill:
                next_kill += 60
                victim = chance.choice([member for member in members if member is not spared])
                load = loads[members.index(victim)]
                load.disturbed = True
                steward = victim.metrics()["pine_steward"] == 1
                load.cpu += cpu_seconds(victim.process.pid)
                victim.kill()
                took = victim.start()
                kills += 1
                print(f"{now - begin:5.0f} s: killed {victim.name}{', the steward' if steward else ''}; serving again after {took:.1f} s",
                      flush=True)
            for load in loads:
                load.tend(end - time.monotonic() - 5)
            if now >= next_look:
                next_look += 10
                for member in members:
                    samples.append((now - begin, member.name, member.starts, member.resident_bytes(), member.kernel_objects()))
                tables.append((now - begin, postgres.sizes()))
                if len(tables) % 6 == 0:
                    rows, long_values, index = tables[-1][1]
                    print(f"{now - begin:5.0f} s: revision {postgres.ask('select revision from pine.head')}, rows "
                          f"{postgres.ask('select count(*) from pine.changelog')} in {mib(rows + long_values)}, index {mib(index)}, memory "
                          + ", ".join(mib(member.resident_bytes()) for member in members), flush=True)
            time.sleep(0.5)
        seconds = time.monotonic() - begin
        for load in loads:
            if load.process is not None:
                load.judge()
        cpu = postgres.cpu_seconds() - cpu_before + sum(load.cpu + cpu_seconds(load.member.process.pid) for load in loads)

        states, log = quiet_state(members, postgres)
        if log is not None:
            problems.append(f"the members are at (revision, digest) {states}, the log at {log}")
        else:
            print(f"all members and the log are at revision {states[0][0]} with digest {states[0][1]:#010x}")
        # Each keeps every key: counted by each, and the log's rows folded anew by one that starts now.
        fresh = Member(pine, postgres.url, folder, "fresh")
        members.append(fresh)
        fresh.start()
        keys = {member.name: int(member.metrics()["etcd_debugging_mvcc_keys_total"]) for member in members}
        if len(set(keys.values())) != 1:
            problems.append(f"the members count different keys: {keys}")

        judge_growth(samples, tables, spared, minutes * 60, problems)
        for member in members:
            for line in member.log.splitlines():
                if re.search("history changed under us|do not add up|Fatal error|invariant", line):
                    problems.append(f"{member.name}: {line.strip()[:200]}")
        requests = sum(load.requests for load in loads)
        print(f"{requests} requests, {requests / seconds:.0f} a second; the servers took {cpu / seconds * 100:.0f} % of a core")
        for load in loads:
            print(f"{load.member.name}: {load.rounds} rounds; errors of clients whose server was killed: {load.errors or 'none'}")
    finally:
        for load in loads:
            load.end()
        for member in members:
            member.stop()
        postgres.stop()
    return verdict("soak", problems)


def judge_growth(samples, tables, spared, seconds, problems):
    """What lived through the second half must not have grown from its third quarter to its fourth; nor may the tables."""
    def quarter(number, of):
        return [value for at, value in of if seconds * (number - 1) / 4 <= at < seconds * number / 4]

    if spared is not None:
        lived = [sample for sample in samples if sample[1:3] == (spared.name, spared.starts)]
        own = [(at, resident) for at, _, _, resident, _ in lived]
        before, after = median(quarter(3, own)), median(quarter(4, own))
        print(f"{spared.name}, which was not killed in the second half: {mib(before)} in the third quarter, {mib(after)} in the fourth")
        if after > before * 1.1 + (16 << 20):
            problems.append(f"{spared.name} grew from {mib(before)} to {mib(after)}")
        for kind in lived[0][4] if lived else ():
            of = [(at, objects[kind]) for at, _, _, _, objects in lived]
            before, after = median(quarter(3, of)), median(quarter(4, of))
            print(f"its {kind}: {before:.0f} in the third quarter, {after:.0f} in the fourth")
            if after > before * 1.1 + 20:
                problems.append(f"{spared.name} has {after:.0f} {kind}, {before:.0f} before")
    for name, column in (("table", 0), ("long values", 1), ("index", 2)):
        of = [(at, sizes[column]) for at, sizes in tables]
        before, after = median(quarter(3, of)), median(quarter(4, of))
        print(f"{name}: {mib(before)} in the third quarter, {mib(after)} in the fourth")
        if after > before * 1.25 + (4 << 20):
            problems.append(f"the {name} grew from {mib(before)} to {mib(after)}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pine", required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--nodes", type=int, default=100)
    arguments = parser.parse_args()
    run("soak", lambda folder: soak(arguments.pine, arguments.minutes, arguments.nodes, folder))


main()
