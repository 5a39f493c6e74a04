"""PostgreSQL, Pines and load generators for the scripts that measure. Standard library only."""

import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request


class LabError(Exception):
    """Something that was to run does not."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def binary(name):
    found = shutil.which(name) or (sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}")) or [None])[-1]
    if not found:
        raise LabError(f"{name} is not installed")
    return found


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def kernel_objects(pid):
    """What a process has of what the kernel gives it only so many of."""
    with open(f"/proc/{pid}/maps") as maps:
        return {"memory mappings": sum(1 for _ in maps), "open files": len(os.listdir(f"/proc/{pid}/fd")),
                "threads": len(os.listdir(f"/proc/{pid}/task"))}


def cpu_seconds(pid):
    """Of a process and of its children that have ended."""
    with open(f"/proc/{pid}/stat") as stat:
        return sum(int(ticks) for ticks in stat.read().rsplit(")", 1)[1].split()[11:15]) / os.sysconf("SC_CLK_TCK")


def until(what, seconds, condition, pause=0.05):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {seconds} seconds")
        time.sleep(pause)


class Postgres:
    """A server of its own in `folder`. As root it runs as nobody."""

    def __init__(self, folder, settings=None):
        self.port = free_port()
        self.data = os.path.join(folder, "postgres")
        self.prefix = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
        os.makedirs(self.data)
        if self.prefix:
            shutil.chown(self.data, "nobody", "nogroup")
        run = dict(check=True, stdout=subprocess.DEVNULL, cwd="/")
        subprocess.run([*self.prefix, binary("initdb"), "-D", self.data, "-A", "trust", "-U", "postgres"], **run)
        self.log = open(os.path.join(folder, "postgres.log"), "wb")
        given = {"unix_socket_directories": self.data, "max_wal_size": "4GB", **(settings or {})}
        options = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        self.process = subprocess.Popen(
            [*self.prefix, binary("postgres"), "-D", self.data, "-p", str(self.port), *options],
            stdout=self.log, stderr=self.log, cwd="/")
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        until("PostgreSQL", 60, lambda: subprocess.run(
            [binary("psql"), self.url, "-c", "select 1"], capture_output=True).returncode == 0, 0.1)

    def ask(self, query):
        ran = subprocess.run([binary("psql"), self.url, "-XqAtc", query], capture_output=True, text=True)
        if ran.returncode != 0:
            raise LabError(ran.stderr.strip())
        return ran.stdout.strip()

    def sizes(self):
        """Bytes of the log's rows, of their long values, and of its index."""
        found = self.ask("select pg_relation_size('pine.changelog'), coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0), "
                         "pg_indexes_size('pine.changelog') from pg_class where oid = 'pine.changelog'::regclass")
        return tuple(int(number) for number in found.split("|"))

    def cpu_seconds(self):
        """Of all processes of the server."""
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True).stdout.split()
        total = cpu_seconds(self.process.pid)
        for pid in children:
            try:
                total += cpu_seconds(pid)
            except FileNotFoundError:
                pass
        return total

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()


class Member:
    """A `pine serve`; `start` returns once it serves."""

    def __init__(self, pine, url, folder, name="pine", arguments=()):
        self.name, self.port, self.starts = name, free_port(), 0
        self.command = [
            pine, "serve", "--postgres", url, "--name", name, "--data-dir", os.path.join(folder, f"{name}-data"),
            "--listen-client-urls", f"http://127.0.0.1:{self.port}", "--log-format", "text", *arguments,
        ]
        self.log_path = os.path.join(folder, f"{name}.log")

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def start(self, seconds=300):
        self.starts += 1
        began = self.started = time.monotonic()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)

        def serves():
            if self.process.poll() is not None:
                raise LabError(f"{self.name} ended with status {self.process.returncode}; see {self.log_path}")
            try:
                return self.page("readyz", 1) is not None
            except OSError:
                return False

        until(f"{self.name} serving", seconds, serves, 0.02)
        return time.monotonic() - began

    def page(self, path, seconds=30):
        with urllib.request.urlopen(f"{self.endpoint}/{path}", timeout=seconds) as answer:
            return answer.read().decode()

    def metrics(self):
        """Those without labels, by name."""
        return {name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", self.page("metrics"), re.M)}

    def resident_bytes(self):
        return resident_bytes(self.process.pid)

    def kernel_objects(self):
        return kernel_objects(self.process.pid)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


def bench(pine, member, *arguments):
    """A running `pine bench`; its result is what `bench_result` gives."""
    return subprocess.Popen(
        [pine, "bench", "run", *[str(argument) for argument in arguments], "--endpoints", member.endpoint, "--output", "json", "--quiet"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def bench_result(process):
    """What it measured, and its errors with how often each came. One that could not begin has measured nothing."""
    out, err = process.communicate()
    try:
        found = json.loads(out)
    except ValueError:
        return {}, {(err or out).strip().splitlines()[-1] if (err or out).strip() else f"status {process.returncode}": 1}
    # One workload gives one result, maybe as a list.
    result = found[0] if isinstance(found, list) else found
    return result, result.get("errors", {})


def must(process):
    """The result of one that may have no error."""
    result, errors = bench_result(process)
    if errors or process.returncode != 0:
        raise LabError(f"pine bench: {errors or process.returncode}")
    return result


def milliseconds(result, percentile="p99", kind=None):
    """A latency of a result."""
    rows = [row for row in result["rows"] if kind is None or row["kind"] == kind]
    return rows[0]["latency"][percentile] / 1e3


def mib(count):
    return f"{count / (1 << 20):,.0f} MiB"


def median(numbers):
    return sorted(numbers)[len(numbers) // 2]


def verdict(name, problems):
    """Says what is not as it must be; the exit status."""
    for problem in problems:
        print(f"PROBLEM: {problem}")
    print(f"{name}: {'FAILED' if problems else 'passed'}")
    return 1 if problems else 0


def run(name, measure):
    """Exits with the status of `measure(folder)`. The folder, which has the logs, stays where that is not 0."""
    folder = tempfile.mkdtemp(prefix=f"pine-{name}-")
    os.chmod(folder, 0o755)
    try:
        status = measure(folder)
    except LabError as error:
        print(f"{name}: {error}")
        status = 1
    if status == 0:
        shutil.rmtree(folder)
    else:
        print(f"logs are in {folder}")
    raise SystemExit(status)
