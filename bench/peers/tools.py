"""How each tool is called, and what it says it changed. All run cold: no connection of an earlier run is used again."""

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import lab

ANSIBLE = lab.HERE / "ansible"


class Tool:
    """One column of the tables."""

    def __init__(self, name, variant, venv):
        self.name, self.variant, self.venv = name, variant, Path(venv)

    def __str__(self):
        return f"{self.name} {self.variant}".strip()

    def command(self, slow, release):
        """Command line and working directory."""
        raise NotImplementedError

    def environment(self):
        return {}

    def changed(self, output):
        """How many items it changed, from what it printed."""
        raise NotImplementedError

    def cool_down(self):
        """Ends what would make the next run start warm."""


class Poclab(Tool):
    def command(self, slow, release):
        inventory = lab.STATE / "slow.yml" if slow else "inventory/lab.yml"
        return [lab.POCLAB, "-i", inventory, "bootstrap", "--set", f"release={release}"], lab.HERE

    def changed(self, output):
        return int(re.search(r"^\d+ resources: (\d+) changed", output, re.M)[1])


class Ansible(Tool):
    def __init__(self, name, variant, venv, image):
        super().__init__(name, variant, venv)
        self.sockets = tempfile.mkdtemp(prefix="pcb")
        self.image = image

    def command(self, slow, release):
        ssh = f"-o UserKnownHostsFile={lab.STATE}/known_hosts_all -o IdentitiesOnly=yes"
        hosts = {
            host: {"ansible_host": "127.0.0.1", "ansible_port": lab.SLOW_PORTS[host]} if slow else {"ansible_host": address}
            for host, address in lab.HOSTS.items()
        }
        variables = {
            "ansible_user": "ops",
            "ansible_ssh_private_key_file": str(lab.STATE / "id_ed25519"),
            "ansible_ssh_common_args": ssh,
            # Not left to be found out: one round trip less.
            "ansible_python_interpreter": "/usr/bin/python3",
            "container_image": self.image,
        }
        inventory = lab.STATE / f"ansible-{'slow' if slow else 'fast'}.json"
        inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": variables}}))
        return [self.venv / "bin/ansible-playbook", "-i", inventory, "site.yml", "-e", f"release={release}"], ANSIBLE

    def environment(self):
        return {
            "ANSIBLE_CONFIG": str(ANSIBLE / f"{self.variant}.cfg"),
            "ANSIBLE_HOME": str(lab.STATE / "ansible-home"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": self.sockets,
            "ANSIBLE_STRATEGY_PLUGINS": str(next(self.venv.glob("lib/python3*/site-packages/ansible_mitogen/plugins/strategy"))),
            "ANSIBLE_NOCOLOR": "1",
            # As long as poclab's (see the inventory): a busy machine is no reason to give up.
            "ANSIBLE_TIMEOUT": "60",
        }

    def changed(self, output):
        recap = output[output.index("PLAY RECAP"):]
        assert len(re.findall(r"unreachable=0 +failed=0 ", recap)) == len(lab.HOSTS), recap
        return len(re.findall(r"^changed: \[", output, re.M))

    def cool_down(self):
        for socket in Path(self.sockets).iterdir():
            subprocess.run(["ssh", "-O", "exit", "-o", f"ControlPath={socket}", "host"], check=False, capture_output=True)


class Pyinfra(Tool):
    def __init__(self, name, variant, venv, image):
        super().__init__(name, variant, venv)
        self.image = image

    def command(self, slow, release):
        common = {
            "ssh_user": "ops",
            "ssh_key": str(lab.STATE / "id_ed25519"),
            "ssh_known_hosts_file": str(lab.STATE / "known_hosts_all"),
            "ssh_strict_host_key_checking": "yes",
            "ssh_allow_agent": False,
            "ssh_look_for_keys": False,
            "container_image": self.image,
        }
        where = {
            host: {"ssh_hostname": "127.0.0.1", "ssh_port": lab.SLOW_PORTS[host]} if slow else {"ssh_hostname": address}
            for host, address in lab.HOSTS.items()
        }
        inventory = lab.STATE / f"pyinfra_{'slow' if slow else 'fast'}.py"
        inventory.write_text("hosts = " + repr([(host, {**common, **there}) for host, there in where.items()]) + "\n")
        return [self.venv / "bin/pyinfra", "-y", "--data", f"release={release}", inventory, "deploy.py"], lab.HERE / "pyinfra"

    def changed(self, output):
        _, success, error, _ = re.search(r"^ *Grand total +(\S+) +(\S+) +(\S+) +(\S+)", output, re.M).groups()
        assert error == "-", output[-2000:]
        return 0 if success == "-" else int(success)


def all_tools(venv, image):
    return [
        Poclab("poclab", "", venv),
        Pyinfra("pyinfra", "", venv, image),
        Ansible("ansible", "mitogen", venv, image),
        Ansible("ansible", "tuned", venv, image),
        Ansible("ansible", "default", venv, image),
    ]


class Ran:
    """A finished run. Memory is that of its largest single process: what Ansible's forks use together is more."""

    def __init__(self, tool, seconds, cpu, memory, output):
        self.seconds, self.cpu, self.memory = seconds, cpu, memory
        self.changed = tool.changed(output)


def run(tool, slow, release, limit=900):
    """Runs a tool once. GNU time measures it: a process that this one forks would start with this one's memory."""
    command, folder = tool.command(slow, release)
    report = lab.STATE / "time.txt"
    measured = ["/usr/bin/time", "-q", "-o", report, "-f", "%e %U %S %M", *command]
    environment = {**os.environ, **tool.environment()}
    log = lab.STATE / f"{str(tool).replace(' ', '-')}.log"
    try:
        with log.open("w") as out:
            done = subprocess.run(
                measured, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=limit, check=False
            )
    finally:
        tool.cool_down()
    output = log.read_text(errors="replace")
    if done.returncode != 0:
        raise SystemExit(f"{tool} failed (exit status {done.returncode}); its output is in {log}:\n{output[-3000:]}")
    seconds, user, system, memory = report.read_text().split()
    return Ran(tool, float(seconds), float(user) + float(system), int(memory), output)
