"""The four hosts: made, damaged, asked. Everything here goes past the tools that are compared (docker exec, no SSH)."""

import hashlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
TREE = HERE.parent.parent
STATE = HERE / ".poclab" / "benchlab"
POCLAB = TREE / "target" / "release" / "poclab"
HOSTS = {"one": "10.95.0.11", "two": "10.95.0.12", "three": "10.95.0.13", "four": "10.95.0.14"}
# Where the slow link listens on this machine.
SLOW_PORTS = {"one": 22951, "two": 22952, "three": 22953, "four": 22954}
# One way.
DELAY_MS = 25
PACKAGES_OF_HOSTS = "/usr/local/lib/python3.11/dist-packages"

# One thing of every kind, on every host, and how many resources of the state that is. A sysctl is damaged in the running
# kernel only: each tool writes its file in a format of its own.
DAMAGE = """
set -e
rm -r /etc/bench/billing
chmod 600 /etc/bench/catalog/app.conf
echo x >>/etc/bench/orders/jobs.conf
userdel search
chmod 755 /var/lib/bench/orders
sysctl -qw net.core.somaxconn=128
systemctl stop chronyd
systemctl disable containerd 2>/dev/null
firewall-cmd -q --remove-port=8005/tcp
firewall-cmd -q --permanent --remove-port=8007/tcp
docker rm -f bench-web >/dev/null
rpm -e policycoreutils-python
"""


def docker(*arguments, **options):
    done = subprocess.run(["docker", *arguments], check=False, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise SystemExit(f"docker {' '.join(arguments)} failed (exit status {done.returncode}): {done.stderr.strip()}")
    return done.stdout


def on(host, script):
    """Runs a script as root in a host; its output."""
    return docker("exec", "-i", f"poclab-benchlab-{host}", "sh", "-s", input=script)


def on_all(script):
    """The same on all hosts at once; outputs by host."""
    with ThreadPoolExecutor(len(HOSTS)) as pool:
        return dict(zip(HOSTS, pool.map(lambda host: on(host, script), HOSTS)))


def poclab(*arguments):
    subprocess.run([POCLAB, *arguments], check=True, cwd=HERE, stdout=subprocess.DEVNULL)


def up(host_packages):
    """Four hosts, ready for the state: engine, image, clock; and what Ansible's Docker module needs of Python."""
    poclab("-i", "inventory/lab.yml", "rehearse", "up")
    inventory = (HERE / "inventory" / "lab.yml").read_text()
    (STATE / "ground.yml").write_text(inventory.replace("roles: [bench]", "roles: [ground]"))
    slow = inventory
    known = (STATE / "known_hosts").read_text()
    for host, address in HOSTS.items():
        fast = f"{{address: {address}}}"
        assert fast in slow, f"{host} is written as {fast} in the inventory"
        port = SLOW_PORTS[host]
        slow = slow.replace(fast, f"{{address: {address}, ssh: {{address: 127.0.0.1, port: {port}}}}}")
        lines = [line for line in known.splitlines() if line.startswith(address + " ")]
        known += "".join(line.replace(address, f"[127.0.0.1]:{port}", 1) + "\n" for line in lines)
    (STATE / "slow.yml").write_text(slow.replace(".poclab/benchlab/known_hosts", ".poclab/benchlab/known_hosts_all"))
    (STATE / "known_hosts_all").write_text(known)
    poclab("-i", STATE / "ground.yml", "bootstrap")
    for host in HOSTS:
        on(host, f"mkdir -p {PACKAGES_OF_HOSTS}")
        docker("cp", f"{host_packages}/.", f"poclab-benchlab-{host}:{PACKAGES_OF_HOSTS}/")


def down():
    poclab("-i", "inventory/lab.yml", "rehearse", "down")


def fact(script):
    """A word that all hosts agree on."""
    answers = set(on_all(script).values())
    assert len(answers) == 1, answers
    return answers.pop().strip()


def sessions():
    """Connections and execs (sftp counts: it is a process too) that sshd has logged so far, by host."""
    script = "journalctl -u sshd -o cat | awk '/^Accepted publickey for/ { c++ } /^Starting session:/ { e++ } END { print c + 0, e + 0 }'"
    return {host: tuple(int(word) for word in text.split()) for host, text in on_all(script).items()}


def fingerprints():
    """What the state comes to on each host, asked without any of the tools: to see that they all leave the same."""
    script = r"""
cd /etc/bench && find . -type f | sort | xargs sha256sum
stat -c '%n %U:%G %a %F' /etc/bench /etc/bench/* /etc/bench/*/* /var/lib/bench /var/lib/bench/*
for user in orders billing catalog search; do id -gn $user; getent passwd $user | cut -d: -f1,6,7; done
sysctl net.core.somaxconn net.ipv4.tcp_keepalive_time net.ipv4.tcp_fin_timeout net.ipv4.tcp_syn_retries net.ipv4.tcp_max_syn_backlog
for unit in chronyd containerd docker firewalld sshd; do echo $unit $(systemctl is-active $unit) $(systemctl is-enabled $unit); done
firewall-cmd --list-ports | tr ' ' '\n' | sort
firewall-cmd --permanent --list-ports | tr ' ' '\n' | sort
rpm -q ca-certificates chrony containerd.io docker-ce docker-ce-cli firewalld policycoreutils-python slirp4netns
docker inspect -f '{{.Name}} {{.Config.Image}} {{.Config.Cmd}} {{.HostConfig.NetworkMode}} {{.HostConfig.RestartPolicy.Name}} {{.State.Running}}' bench-web bench-worker
"""
    return {host: hashlib.sha256(text.encode()).hexdigest()[:12] + f" ({len(text.splitlines())} lines)" for host, text in on_all(script).items()}


class SlowLink:
    """The relay, as long as it is wanted."""

    def __enter__(self):
        self.log = STATE / "relay.log"
        self.log.write_text("")
        pairs = [f"{SLOW_PORTS[host]}={address}:22" for host, address in HOSTS.items()]
        command = [sys.executable, HERE / "relay.py", str(DELAY_MS), self.log, *pairs]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise SystemExit("the relay did not start; is a port between 22951 and 22954 taken?")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def take_round_trips(self):
        """Round trips by host since the last call; waits a moment for connections that are just ending."""
        time.sleep(0.3)
        trips = dict.fromkeys(HOSTS, 0)
        by_port = {port: host for host, port in SLOW_PORTS.items()}
        for line in self.log.read_text().splitlines():
            port, count, _, _ = (int(word) for word in line.split())
            trips[by_port[port]] += count
        os.truncate(self.log, 0)
        return trips
