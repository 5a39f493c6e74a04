"""What scripts/soak runs: processes, load, kills, and the verdict. Standard library only."""

import argparse
import glob
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

# What etcd's clients try again by themselves.
RETRYABLE = re.compile(r"unavailable|leader changed|request timed out|connection|server stopped|transport|EOF|deadline", re.I)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def binary(name):
    found = shutil.which(name) or (sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}")) or [None])[-1]
    if not found:
        raise SystemExit(f"soak: {name} is not installed")
    return found


class Postgres:
    """A server of its own in `folder`. As root it runs as nobody."""

    def __init__(self, folder):
        self.port = free_port()
        self.data = os.path.join(folder, "postgres")
        self.prefix = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
        os.makedirs(self.data)
        if self.prefix:
            shutil.chown(self.data, "nobody", "nogroup")
        run = dict(check=True, stdout=subprocess.DEVNULL, cwd="/")
        subprocess.run([*self.prefix, binary("initdb"), "-D", self.data, "-A", "trust", "-U", "postgres"], **run)
        self.log = open(os.path.join(folder, "postgres.log"), "wb")
        self.process = subprocess.Popen(
            [*self.prefix, binary("postgres"), "-D", self.data, "-p", str(self.port), "-c", f"unix_socket_directories={self.data}"],
            stdout=self.log, stderr=self.log, cwd="/")
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        deadline = time.monotonic() + 60
        while subprocess.run([binary("psql"), self.url, "-c", "select 1"], capture_output=True).returncode != 0:
            if time.monotonic() > deadline:
                raise SystemExit("soak: PostgreSQL does not answer")
            time.sleep(0.1)

    def ask(self, query):
        return subprocess.run([binary("psql"), self.url, "-XqAtc", query], capture_output=True, text=True, check=True).stdout.strip()

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()


class Member:
    def __init__(self, pine, url, folder, number):
        self.number, self.port, self.starts = number, free_port(), 0
        self.command = [
            pine, "serve", "--postgres", url, "--name", f"pine-{number}", "--data-dir", os.path.join(folder, f"data-{number}"),
            "--listen-client-urls", f"http://127.0.0.1:{self.port}", "--auto-compaction-retention", "1m",
        ]
        self.log_path = os.path.join(folder, f"pine-{number}.log")
        self.start()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        self.starts += 1
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 120
        while True:
            if self.process.poll() is not None:
                raise SystemExit(f"soak: pine-{self.number} ended with status {self.process.returncode}; see {self.log_path}")
            # The listener is up before the log is loaded: what it has said since this start tells.
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                if len(re.findall(r'(?:^|[ "])serving[" ]', log.read(), re.M)) >= self.starts:
                    return
            if time.monotonic() > deadline:
                raise SystemExit(f"soak: pine-{self.number} does not serve; see {self.log_path}")
            time.sleep(0.1)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def median(numbers):
    return sorted(numbers)[len(numbers) // 2]


def soak(pine, minutes, folder):
    postgres = Postgres(folder)
    chance = random.Random(int(os.environ.get("PINE_TEST_SEED", random.randrange(1 << 32))))
    problems, samples, bench = [], [], None
    members = []
    try:
        # One after the other: the first makes the tables.
        members += [Member(pine, postgres.url, folder, number) for number in range(3)]
        end = time.monotonic() + minutes * 60
        next_kill = time.monotonic() + 60
        runs = 0
        # The member that carries the load of a round is not killed in it: another one is, whose state the load shares.
        while time.monotonic() < end:
            carrier = members[runs % 3]
            seconds = max(10, min(60, int(end - time.monotonic())))
            bench_log = os.path.join(folder, f"bench-{runs}.log")
            with open(bench_log, "wb") as out:
                bench = subprocess.Popen(
                    [pine, "bench", "kubernetes", "--endpoints", carrier.endpoint, "--duration", str(seconds), "--output", "json",
                     "--nodes", "100", "--seed", str(runs + 1), "--prefix", f"/registry/soak-{runs % 3}/"], stdout=out, stderr=out)
                while bench.poll() is None:
                    if time.monotonic() >= next_kill:
                        next_kill += 60
                        victim = chance.choice([member for member in members if member is not carrier])
                        victim.kill()
                        victim.start()
                        print(f"killed and started pine-{victim.number}", flush=True)
                    samples.append((time.monotonic(), carrier.resident_bytes(), carrier.number, carrier.starts))
                    time.sleep(1)
            if bench.returncode != 0:
                with open(bench_log, errors="replace") as text:
                    said = text.read()
                lines = [line for line in said.splitlines() if re.search("error|failed|wrong", line, re.I)]
                if not lines or not all(RETRYABLE.search(line) for line in lines):
                    problems.append(f"round {runs}: {(lines or [said[-300:]])[-1]}")
            runs += 1
            print(f"round {runs}: revision {postgres.ask('select revision from pine.head')}, "
                  f"rows {postgres.ask('select count(*) from pine.changelog')}, "
                  f"tables {int(postgres.ask('select pg_total_relation_size($$pine.changelog$$)')) >> 20} MiB, "
                  f"carrier {carrier.resident_bytes() >> 20} MiB", flush=True)

        # Memory: each life of a process, the second half of its samples against the quarter before them.
        lives = {}
        for at, resident, number, start in samples:
            lives.setdefault((number, start), []).append(resident)
        for (number, start), residents in lives.items():
            if len(residents) < 240:
                continue
            half, three = len(residents) // 2, len(residents) * 3 // 4
            before, after = median(residents[half:three]), median(residents[three:])
            if after > before * 1.2 + (32 << 20):
                problems.append(f"pine-{number} grew from {before >> 20} to {after >> 20} MiB in its second half")

        # Every process compares its digest with the log's at each tail that it reads: one that differs says so and loads anew.
        for member in members:
            with open(member.log_path, errors="replace") as log:
                for line in log:
                    if re.search("history changed under us|do not add up|Fatal error|invariant", line):
                        problems.append(f"pine-{member.number}: {line.strip()[:200]}")
    finally:
        if bench and bench.poll() is None:
            bench.kill()
            bench.wait()
        for member in members:
            if member.process.poll() is None:
                member.process.terminate()
        for member in members:
            member.process.wait()
        postgres.stop()
    for problem in problems:
        print(f"PROBLEM: {problem}")
    print(f"soak: {'FAILED' if problems else 'passed'}: {minutes} minutes, {runs} rounds, {sum(m.starts - 1 for m in members)} kills")
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pine", required=True)
    parser.add_argument("--minutes", type=float, default=60)
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="pine-soak-")
    os.chmod(folder, 0o755)
    status = soak(arguments.pine, arguments.minutes, folder)
    if status == 0:
        shutil.rmtree(folder)
    else:
        print(f"logs are in {folder}")
    raise SystemExit(status)


main()
