"""Runs everything and writes bench/peers.csv and bench/peers.json. Called by bench/peers/run; see there for what it needs."""

import argparse
import csv
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from importlib import metadata

import lab
import tools

CASES = ["no change", "one file drifted", "20 files changed"]
DRIFTED = "two"
COLUMNS = [
    "tool", "variant", "case", "delay_ms", "run", "seconds", "cpu_seconds", "max_rss_kb", "changed",
    "connections_per_host", "execs_per_host", "round_trips_per_host",
]  # fmt: skip


def say(text):
    print(f"[{datetime.datetime.now():%H:%M:%S}] {text}", flush=True)


def joined(by_host):
    return "/".join(str(by_host[host]) for host in lab.HOSTS)


class Bench:
    def __init__(self, venv, csv_file, names):
        image = lab.fact("docker images --format '{{.Repository}}:{{.Tag}}'")
        everyone = tools.all_tools(venv, image)
        unknown = [name for name in names if name not in map(str, everyone)]
        if unknown:
            raise SystemExit(f"there is no tool {unknown[0]!r}; there are: {', '.join(map(str, everyone))}")
        self.everyone = everyone
        self.tools = [tool for tool in everyone if not names or str(tool) in ("poclab", *names)]
        self.rows = csv.writer(csv_file, lineterminator="\n")
        self.rows.writerow(COLUMNS)
        self.file = csv_file
        self.release = "r0"
        self.releases = 0
        self.counts = {}

    def tool(self, name):
        return next(tool for tool in self.everyone if str(tool) == name)

    def expect(self, tool, slow, changes):
        """A run that must change so much, or nothing is worth measuring."""
        ran = tools.run(tool, slow, self.release)
        if ran.changed not in changes:
            wanted = f"{changes[0]}" if len(changes) == 1 else f"{changes[0]} to {changes[-1]}"
            raise SystemExit(f"unfair: {tool} changed {ran.changed} items, expected {wanted}; its output is in {lab.STATE}. No numbers.")
        return ran

    def fairness(self):
        """Every tool repairs the same damage to the same state, and the others then find nothing to do."""
        repairers = [self.tool(name) for name in ("poclab", "ansible mitogen", "pyinfra")]
        tools.run(repairers[0], False, self.release)
        before = None
        for repairer in repairers:
            lab.on_all(lab.DAMAGE)
            ran = tools.run(repairer, False, self.release)
            # 17 things; poclab counts a zone's two ports as one, and a new user may get another number than the old.
            if ran.changed < 16 * len(lab.HOSTS):
                raise SystemExit(f"unfair: {repairer} changed only {ran.changed} items after the damage. No numbers.")
            state = lab.fingerprints()
            before = before or state
            if state != before:
                raise SystemExit(f"unfair: {repairer} leaves another state than poclab: {state} instead of {before}. No numbers.")
            for other in repairers:
                self.expect(other, False, range(1))
            say(f"fair: {repairer} repaired {ran.changed} items; state {state['one']} as after the others, who find nothing to do")

    def one(self, tool, case, slow, link):
        changes = range(1)
        if case == CASES[1]:
            lab.on(DRIFTED, "echo drift >>/etc/bench/orders/app.conf")
            changes = range(1, 2)
        elif case == CASES[2]:
            self.releases += 1
            self.release = f"r{self.releases}"
            changes = range(20 * len(lab.HOSTS), 20 * len(lab.HOSTS) + 1)
        before = lab.sessions()
        if slow:
            link.take_round_trips()
        ran = self.expect(tool, slow, changes)
        trips = joined(link.take_round_trips()) if slow else ""
        after = lab.sessions()
        connections, execs = ({host: after[host][what] - before[host][what] for host in lab.HOSTS} for what in (0, 1))
        key = (str(tool), case, slow)
        self.counts[key] = self.counts.get(key, 0) + 1
        self.rows.writerow([
            tool.name, tool.variant, case, lab.DELAY_MS if slow else 0, self.counts[key], f"{ran.seconds:.2f}", f"{ran.cpu:.2f}", ran.memory,
            ran.changed, joined(connections), joined(execs), trips,
        ])  # fmt: skip
        self.file.flush()
        trips = f", round trips {trips}" if trips else ""
        say(f"{case}, {'slow' if slow else 'fast'}: {tool}: {ran.seconds:.2f} s, execs {joined(execs)}{trips}")
        return ran.seconds

    def rounds(self, deadline, link, most):
        """Whole groups (all tools, one case, one link) until the time is up; the first round is always whole."""
        known = {}
        for number in range(most):
            for slow in (False, True):
                for case in CASES:
                    group = (case, slow)
                    if number and time.monotonic() + known[group] > deadline:
                        continue
                    # As it comes it only runs once: it is the slowest, and no ratio that matters is to it.
                    taking_part = [tool for tool in self.tools if number == 0 or str(tool) != "ansible default"]
                    turn = number % len(taking_part)
                    started = time.monotonic()
                    for tool in taking_part[turn:] + taking_part[:turn]:
                        self.one(tool, case, slow, link)
                    known[group] = time.monotonic() - started


def versions(minutes, started, load):
    def first_line(*command):
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        return (result.stdout or result.stderr).splitlines()[0]

    packages = {name: metadata.version(name) for name in ("ansible-core", "ansible", "mitogen", "pyinfra", "paramiko")}
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return {
        "date": started.strftime("%Y-%m-%d"),
        "minutes": round(minutes),
        "poclab": first_line(str(lab.POCLAB), "--version") + ", commit " + first_line("git", "-C", str(lab.TREE), "rev-parse", "--short=10", "HEAD"),
        **packages,
        "python": platform.python_version(),
        "ssh client": first_line("ssh", "-V"),
        "hosts": lab.fact(". /etc/os-release; echo \"$PRETTY_NAME, $(sshd -V 2>&1 | grep -o 'OpenSSH_[^, ]*'), Python $(python3 -c 'import platform; print(platform.python_version())'), firewalld $(rpm -q --qf '%{VERSION}' firewalld), Docker $(rpm -q --qf '%{VERSION}' docker-ce)\""),
        "machine": f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release().split('-')[0]}",
        "load before": f"{load:.1f}",
    }


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--venv", required=True)
    arguments.add_argument("--host-packages", required=True)
    arguments.add_argument("--minutes", type=float, required=True)
    arguments.add_argument("--rounds", type=int, required=True)
    arguments.add_argument("--tools", default="")
    asked = arguments.parse_args()
    started, clock, load = datetime.datetime.now(), time.monotonic(), os.getloadavg()[0]
    if load > os.cpu_count() / 2:
        say(f"this machine is busy (load {load:.1f}): the figures will be too, and the document will say so")
    subprocess.run([sys.executable, lab.HERE / "relay_test.py"], check=True)
    say("four hosts")
    lab.up(asked.host_packages)
    # Beside the real place until everything is there: half a measurement never replaces a whole one.
    new = lab.STATE / "peers.csv"
    with new.open("w", newline="") as csv_file, lab.SlowLink() as link:
        bench = Bench(asked.venv, csv_file, [name.strip() for name in asked.tools.split(",") if name.strip()])
        bench.fairness()
        bench.rounds(clock + asked.minutes * 60, link, asked.rounds)
    about = versions((time.monotonic() - clock) / 60, started, load)
    (lab.TREE / "bench" / "peers.json").write_text(json.dumps(about, indent=2) + "\n")
    (lab.TREE / "bench" / "peers.csv").write_text(new.read_text())
    say(f"done after {about['minutes']} minutes")


if __name__ == "__main__":
    main()
