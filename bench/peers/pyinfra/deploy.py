"""The state of ../roles/bench/role.yml, as a pyinfra deploy."""

from pyinfra import config, host
from pyinfra.api import FactBase
from pyinfra.operations import docker, files, server, systemd, yum

config.SUDO = True
config.CONNECT_TIMEOUT = 60

APPS = [("orders", 8001), ("billing", 8002), ("catalog", 8003), ("search", 8004)]
TEMPLATES = ["app.conf", "logging.conf", "limits.conf", "proxy.conf", "jobs.conf"]
PORTS = [22, 8001, 8002, 8003, 8004, 8005, 8006, 8007, 8008, 8009, 8010]
SYSCTLS = {
    "net.core.somaxconn": 1024,
    "net.ipv4.tcp_keepalive_time": 600,
    "net.ipv4.tcp_fin_timeout": 30,
    "net.ipv4.tcp_syn_retries": 5,
    "net.ipv4.tcp_max_syn_backlog": 2048,
}
PACKAGES = [
    "ca-certificates", "chrony", "containerd.io", "docker-ce", "docker-ce-cli", "firewalld", "policycoreutils-python", "slirp4netns",
]


class OpenPorts(FactBase):
    """Ports that a zone of firewalld lets in, now and at its next start: pyinfra has neither fact nor operation for firewalld."""

    default = dict

    def command(self, zone):
        return f"firewall-cmd --zone={zone} --list-ports && firewall-cmd --permanent --zone={zone} --list-ports"

    def process(self, output):
        now, later = (set(line.split()) for line in list(output)[:2])
        return {"now": now, "later": later}


yum.packages(name="Packages", packages=PACKAGES)
server.group(name="Group", group="bench", system=True)
for app, _ in APPS:
    server.user(
        name=f"User {app}", user=app, group="bench", home=f"/var/lib/bench/{app}", shell="/sbin/nologin",
        system=True, ensure_home=False, create_home=False,
    )

for path in ["/etc/bench", *(f"/etc/bench/{app}" for app, _ in APPS), "/var/lib/bench"]:
    files.directory(name=f"Directory {path}", path=path, user="root", group="root", mode="755")
for app, _ in APPS:
    files.directory(name=f"Directory of {app}", path=f"/var/lib/bench/{app}", user=app, group="bench", mode="750")

for app, port in APPS:
    for template in TEMPLATES:
        files.template(
            name=f"File {app}/{template}", src=f"../templates/bench/{template}.tera", dest=f"/etc/bench/{app}/{template}",
            user="root", group="root", mode="644",
            item={"name": app, "port": port}, release=host.data.release, workers=4, upstreams=["one", "two", "three"],
        )

for key, value in SYSCTLS.items():
    server.sysctl(name=f"Kernel setting {key}", key=key, value=value, persist=True, persist_file=f"/etc/sysctl.d/90-poclab-{key}.conf")

for unit in ["chronyd", "containerd", "docker", "firewalld", "sshd"]:
    systemd.service(name=f"Service {unit}", service=unit, running=True, enabled=True)

open_ports = host.get_fact(OpenPorts, zone="public")
for port in PORTS:
    commands = []
    if f"{port}/tcp" not in open_ports["now"]:
        commands.append(f"firewall-cmd --zone=public --add-port={port}/tcp")
    if f"{port}/tcp" not in open_ports["later"]:
        commands.append(f"firewall-cmd --permanent --zone=public --add-port={port}/tcp")
    if commands:
        server.shell(name=f"Open port {port}", commands=commands)

for container, seconds in [("bench-web", 1000000), ("bench-worker", 1000001)]:
    docker.container(
        name=f"Container {container}", container=container, image=host.data.container_image, networks=["host"],
        restart_policy="unless-stopped", command=f"sleep {seconds}",
    )
