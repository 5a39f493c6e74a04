"""Runs etcd and Pine side by side under h2load and prints their throughput and CPU time. Started by scripts/compare-etcd.

Every answer counts: h2load must report each request as succeeded, puts must have raised the revision by their number and left
the value behind, and ranges must have brought the same number of bytes each. A gRPC error is an HTTP success without a body.
"""

import argparse
import base64
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KEY = b"bench/key-0001"
VALUE_BYTES = 512
TICKS = os.sysconf("SC_CLK_TCK")


def fail(message):
    sys.exit(f"compare-etcd: {message}")


# What is sent: a gRPC frame (a zero byte, four bytes of length) around a message with length-delimited fields.


def field(number, data):
    length = len(data)
    prefix = bytes([number << 3 | 2])
    while length > 0x7F:
        prefix += bytes([length & 0x7F | 0x80])
        length >>= 7
    return prefix + bytes([length]) + data


def frame(message):
    return b"\0" + len(message).to_bytes(4, "big") + message


# CPU time.


def processes():
    """Each living process: (parent, seconds of CPU, its reaped children's included)."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # It has ended meanwhile.
        found[int(folder.name)] = (int(fields[1]), sum(map(int, fields[11:15])) / TICKS)
    return found


def cpu_seconds(root):
    """CPU time of a process and of all its descendants: (the process itself, the others)."""
    found = processes()
    own = found[root][1]
    below, pending = 0.0, [root]
    while pending:
        parent = pending.pop()
        for process, (its_parent, seconds) in found.items():
            if its_parent == parent:
                below += seconds
                pending.append(process)
    return own, below


# The servers.


class Server:
    def __init__(self, name, command, folder):
        self.name = name
        self.log = folder / f"{name}.log"
        self.results = {}
        with open(self.log, "wb") as log:
            # A session of its own: Ctrl-C comes to us, and we stop the servers.
            self.process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def wait_for(self, pattern, limit=60):
        deadline = time.monotonic() + limit
        while True:
            found = re.search(pattern, self.log.read_text(errors="replace"))
            if found:
                return found
            if self.process.poll() is not None or time.monotonic() > deadline:
                fail(f"{self.name} did not start; the end of its log:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_etcd(options, folder):
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    server = Server("etcd", [
        options.etcd, "--data-dir", str(folder / "etcd"), "--listen-client-urls", client, "--advertise-client-urls", client,
        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
    ], folder)
    server.url = client
    server.wait_for("ready to serve client requests")
    version = subprocess.run([options.etcd, "--version"], capture_output=True, text=True, check=True).stdout
    server.title = "etcd " + re.search(r"etcd Version: (\S+)", version)[1]
    return server


def start_pine(options, folder):
    server = Server("pine", [
        options.pine, "serve", "--data-dir", str(folder / "pine"), "--listen-client-urls", "http://127.0.0.1:0",
        "--log-format", "text",
    ], folder)
    server.url = server.wait_for(r"listening on (\S+)")[1]
    server.wait_for("serving")
    version = subprocess.run([options.pine, "version"], capture_output=True, text=True, check=True).stdout.split()[1]
    postgres = server.wait_for(r"PostgreSQL is ready.* version=(\d+)")[1]
    server.title = f"Pine {version}, PostgreSQL {postgres}"
    return server


# The load.


def state(options, server):
    """The store's revision, and the key's value and version, by etcdctl."""
    answer = subprocess.run(
        [options.etcdctl, "--endpoints", server.url, "get", KEY.decode(), "-w", "json"],
        capture_output=True, text=True, env=os.environ | {"ETCDCTL_API": "3"})
    if answer.returncode != 0:
        fail(f"etcdctl could not read from {server.name}: {answer.stderr.strip()}")
    answer = json.loads(answer.stdout)
    kvs = answer.get("kvs") or [{}]
    return answer["header"]["revision"], base64.b64decode(kvs[0].get("value", "")), kvs[0].get("version", 0)


def h2load(server, method, body, count, connections, streams):
    """Sends `count` requests: (requests a second, bytes of bodies that came back)."""
    command = [
        "h2load", "-n", str(count), "-c", str(connections), "-m", str(streams), "-d", str(body),
        "-H", "content-type: application/grpc", "-H", "te: trailers", f"{server.url}/etcdserverpb.KV/{method}",
    ]
    output = subprocess.run(command, capture_output=True, text=True).stdout
    rate = re.search(r"finished in \S+, ([\d.]+) req/s", output)
    succeeded = re.search(r"(\d+) succeeded", output)
    data = re.search(r"\((\d+)\) data", output)
    if not (rate and succeeded and data) or int(succeeded[1]) != count:
        fail(f"not every {method} to {server.name} succeeded:\n{output}")
    return float(rate[1]), int(data[1])


def measure(options, server, method, body, count):
    """One round: (requests a second, microseconds of CPU a request of the server itself, of its child processes)."""
    before = cpu_seconds(server.process.pid)
    rate, data = h2load(server, method, body, count, options.connections, options.streams)
    after = cpu_seconds(server.process.pid)
    return rate, *((b - a) * 1e6 / count for a, b in zip(before, after)), data


def puts(options, server, folder, value):
    revision, _, version = state(options, server)
    *round_, _ = measure(options, server, "Put", folder / "put", options.puts)
    now, stored, new_version = state(options, server)
    if (now - revision, new_version - version, stored) != (options.puts, options.puts, value):
        fail(f"{options.puts} puts to {server.name} raised the revision by {now - revision} only, or left another value")
    return round_


def ranges(options, server, folder, value):
    # While nothing is written every answer is the same.
    _, one = h2load(server, "Range", folder / "range", 1, 1, 1)
    *round_, data = measure(options, server, "Range", folder / "range", options.ranges)
    if one < len(value) or data != one * options.ranges:
        fail(f"{options.ranges} ranges from {server.name} brought {data} bytes, not {one} each")
    return round_


# The report.


def report(servers, rounds):
    etcd, pine = servers
    print(f"\n{'median of ' + str(rounds) + ' rounds':<34}{etcd.title:>16}{pine.title:>26}{'Pine / etcd':>14}")
    for what, title in (("put", "Put"), ("range", "Range of one key, linearizable")):
        median = {s: [statistics.median(column) for column in zip(*s.results[what])] for s in servers}
        total = {s: sum(median[s][1:]) for s in servers}
        print(title)
        lines = [
            ("  requests a second", f"{median[etcd][0]:,.0f}", f"{median[pine][0]:,.0f}", median[pine][0] / median[etcd][0]),
            ("  microseconds of CPU a request", f"{total[etcd]:.1f}", f"{total[pine]:.1f}", total[pine] / total[etcd]),
            ("    of these, PostgreSQL's", "", f"{median[pine][2]:.1f}", None),
        ]
        for label, left, right, ratio in lines:
            print(f"{label:<34}{left:>16}{right:>26}{'' if ratio is None else f'{ratio:.2f}':>14}")


def count(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def main():
    parser = argparse.ArgumentParser(prog="scripts/compare-etcd", description="Compares Pine with a real etcd on this machine.")
    for program in ("pine", "etcd", "etcdctl"):
        parser.add_argument(f"--{program}", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=count, default=5, help="rounds of each (%(default)s)")
    parser.add_argument("--puts", type=count, default=50_000, help="puts a round (%(default)s)")
    parser.add_argument("--ranges", type=count, default=100_000, help="ranges a round (%(default)s)")
    parser.add_argument("--connections", type=count, default=10, help="(%(default)s)")
    parser.add_argument("--streams", type=count, default=100, help="requests in flight on each connection (%(default)s)")
    options = parser.parse_args()
    # Stopped from outside, we still stop the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    folder = Path(tempfile.mkdtemp(prefix="pine-compare-"))
    servers = []
    try:
        # PostgreSQL, which root starts as another user, enters it.
        folder.chmod(0o755)
        value = os.urandom(VALUE_BYTES)
        (folder / "put").write_bytes(frame(field(1, KEY) + field(2, value)))
        (folder / "range").write_bytes(frame(field(1, KEY)))
        kind = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True).stdout.strip()
        print(f"{os.cpu_count()} cores, h2load included; data on {kind}; values of {VALUE_BYTES} bytes; "
              f"{options.connections} connections of {options.streams} requests")
        servers.append(start_etcd(options, folder))
        servers.append(start_pine(options, folder))
        for server in servers:
            h2load(server, "Put", folder / "put", min(options.puts, 5_000), options.connections, options.streams)
            server.results = {"put": [], "range": []}
        for number in range(1, options.rounds + 1):
            for what, run in (("put", puts), ("range", ranges)):
                for server in servers if number % 2 else reversed(servers):
                    round_ = run(options, server, folder, value)
                    server.results[what].append(round_)
                    print(f"round {number}: {server.name:<5}{what:<6}{round_[0]:>10,.0f}/s{sum(round_[1:]):>8.1f} us", flush=True)
        report(servers, options.rounds)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
