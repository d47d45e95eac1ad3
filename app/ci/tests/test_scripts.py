"""The scripts say no when something is missing, and call docker and poclab with what was built."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

APP = Path(__file__).parents[2]
SHA = "a" * 40
DIGEST = f"registry.lab.example:5000/student_list/%s@sha256:{'0' * 64}"


class Tree:
    """A copy of the application's scripts with programs that write down how they were called."""

    def __init__(self, folder: Path) -> None:
        self.app = folder / "app"
        self.calls = folder / "calls"
        self.bin = folder / "bin"
        shutil.copytree(APP / "ci", self.app / "ci")
        shutil.copytree(APP / "deploy", self.app / "deploy")
        shutil.copytree(APP / "security", self.app / "security")
        for name in ["build.sh", "VERSION.txt", "pyproject.toml", ".gitignore"]:
            shutil.copy(APP / name, self.app)
        for part in ["simple_api", "website"]:
            (self.app / part).mkdir()
            (self.app / part / "Dockerfile").touch()
        (self.app / "build").mkdir()
        self.bin.mkdir()
        self.calls.touch()
        for name in ["docker", "poclab", "ansible-playbook"]:
            self.program(name)

    def program(self, name: str, body: str = "") -> None:
        file = self.bin / name
        file.write_text(f'#!/bin/sh\necho "{name} $*" >>"{self.calls}"\n{body}\n')
        file.chmod(0o755)

    def built(self) -> None:
        (self.app / "build/commit").write_text(f"{SHA}\n")
        for part in ["simple_api", "website"]:
            (self.app / f"build/{part}.digest").write_text(f"{DIGEST % part}\n")

    def run(self, script: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.app / script), *arguments]
        full = {"PATH": f"{self.bin}:{os.environ['PATH']}", "HOME": str(self.app), **env}
        return subprocess.run(command, env=full, cwd="/", capture_output=True, text=True, check=False)  # noqa: S603 - our own script

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def commit(tree: Tree) -> str:
    git = ["git", "-C", str(tree.app), "-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    for arguments in [["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]]:
        subprocess.run([*git, *arguments], check=True)  # noqa: S603 - git
    told = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)  # noqa: S603 - git
    return told.stdout.strip()


def test_deploy_needs_a_key_and_what_was_pushed(tree: Tree) -> None:
    assert "DEPLOY_KEY is not set" in tree.run("ci/deploy").stderr
    assert "cannot be read" in tree.run("ci/deploy", DEPLOY_KEY="/nonexistent").stderr
    key = str(tree.app / "VERSION.txt")
    assert "run ci/build first" in tree.run("ci/deploy", DEPLOY_KEY=key).stderr
    (tree.app / "build/commit").write_text(SHA)
    told = tree.run("ci/deploy", DEPLOY_KEY=key)
    assert told.returncode == 1
    assert "run ci/push first" in told.stderr
    tree.built()
    assert "write poclab or ansible" in tree.run("ci/deploy", DEPLOY_KEY=key, DEPLOY_TOOL="chef").stderr
    assert tree.called() == []


def test_deploy_with_poclab(tree: Tree) -> None:
    tree.built()
    key = str(tree.app / "VERSION.txt")
    assert tree.run("ci/deploy", DEPLOY_KEY=key, DEPLOY_TARGET="app").returncode == 0
    expected = f"poclab deploy --commit {SHA} --image {DIGEST % 'simple_api'} --image {DIGEST % 'website'} --to app"
    assert tree.called() == [expected]
    # How it ended is how the stage ends.
    tree.program("poclab", "exit 3")
    assert tree.run("ci/deploy", DEPLOY_KEY=key).returncode == 3


def test_deploy_with_ansible(tree: Tree) -> None:
    tree.built()
    key = str(tree.app / "VERSION.txt")
    assert tree.run("ci/deploy", DEPLOY_KEY=key, DEPLOY_TOOL="ansible").returncode == 0
    [called] = tree.called()
    assert called.startswith(f"ansible-playbook {tree.app}/deploy/playbook.yml --extra-vars ")
    assert f'"images": ["{DIGEST % "simple_api"}", "{DIGEST % "website"}"]' in called
    assert f'"deploy_key": "{key}"' in called


def test_gates_build_the_stage_of_each_part_and_nothing_else(tree: Tree) -> None:
    commit(tree)
    assert tree.run("ci/gates", IMAGE_PREFIX="p").returncode == 0
    called = tree.called()
    assert len(called) == 2
    assert all("--target gates --label student_list.stage=gates" in call for call in called)
    assert "--tag p/simple_api-gates:latest" in called[0]
    assert "--tag p/website-gates:latest" in called[1]


def test_a_failing_gate_fails(tree: Tree) -> None:
    commit(tree)
    tree.program("docker", "exit 7")
    assert tree.run("ci/gates").returncode == 7


def test_build_tags_with_the_commit_and_refuses_a_dirty_tree(tree: Tree) -> None:
    sha = commit(tree)
    assert tree.run("ci/build").returncode == 0
    assert f"--tag student_list/simple_api:{sha} " in tree.called()[0]
    assert (tree.app / "build/commit").read_text().strip() == sha
    (tree.app / "VERSION.txt").write_text("2\n")
    assert "not committed" in tree.run("ci/build").stderr


REGISTRY = "registry.lab.example:5000"
# A docker that knows one image: of each push it knows a digest, and what was taken away it gets back.
DOCKER = """
case "$*" in
"image inspect --format {{.Id}} "*) echo sha256:1 ;;
"image inspect --format "*) repository=${5%%:"$SHA"}; echo "$repository@sha256:${DIGEST_OF:-%s}" ;;
"image inspect "*) exit 1 ;;
esac
""" % ("0" * 64)


def candidates() -> list[str]:
    return [f"{REGISTRY}/student_list-candidate/{part}@sha256:{'0' * 64}" for part in ["simple_api", "website"]]


def scannable(tree: Tree) -> None:
    (tree.app / "build/commit").write_text(f"{SHA}\n")
    tree.program("docker", DOCKER)


def scan(tree: Tree, **env: str) -> subprocess.CompletedProcess[str]:
    return tree.run("ci/scan", REGISTRY=REGISTRY, SHA=SHA, **env)


def test_push_needs_a_registry(tree: Tree) -> None:
    tree.built()
    assert "REGISTRY is not set" in tree.run("ci/push").stderr
    assert "REGISTRY is not set" in tree.run("ci/scan", SCANNER="clair").stderr


def test_the_scan_looks_at_candidates_by_digest(tree: Tree) -> None:
    scannable(tree)
    assert scan(tree, SCANNER="clair").returncode == 0
    pushes = [call for call in tree.called() if call.startswith("docker push")]
    assert pushes == [f"docker push --quiet {REGISTRY}/student_list-candidate/{part}:{SHA}" for part in ["simple_api", "website"]]
    scans = [call for call in tree.called() if call.startswith("poclab")]
    policy = tree.app / "security/scan-policy.yml"
    for part, image, call in zip(["simple_api", "website"], candidates(), scans, strict=True):
        out = tree.app / f"build/{part}.scan"
        assert call == f"poclab scan --policy {policy} --json {out}.json --sarif {out}.sarif --html {out}.html {image}"
        assert (tree.app / f"build/{part}.passed").read_text().strip() == image


@pytest.mark.parametrize("status", [3, 4])
def test_what_does_not_pass_is_not_pushed(tree: Tree, status: int) -> None:
    scannable(tree)
    (tree.app / "build/simple_api.passed").write_text(candidates()[0])
    tree.program("poclab", f'case "$*" in *simple_api@*) exit {status} ;; esac')
    assert scan(tree, SCANNER="clair").returncode == status
    # Both were looked at.
    assert len([call for call in tree.called() if call.startswith("poclab")]) == 2
    assert not (tree.app / "build/simple_api.passed").exists()
    before = len(tree.called())
    told = tree.run("ci/push", REGISTRY=REGISTRY, SHA=SHA)
    assert told.returncode == 1
    assert "nobody has scanned simple_api" in told.stderr
    assert not [call for call in tree.called()[before:] if call.startswith("docker push")]


@pytest.mark.parametrize(("api", "website"), [(3, 4), (4, 3), (3, 64), (0, 4)])
def test_could_not_look_is_worse_than_refused(tree: Tree, api: int, website: int) -> None:
    scannable(tree)
    tree.program("poclab", f'case "$*" in *simple_api@*) exit {api} ;; *) exit {website} ;; esac')
    assert scan(tree, SCANNER="clair").returncode == max(api, website)


def test_files_of_an_earlier_scan_do_not_stand_for_this_one(tree: Tree) -> None:
    scannable(tree)
    kinds = ["passed", "scan.json", "scan.sarif", "scan.html"]
    old = [tree.app / f"build/{part}.{kind}" for part in ["simple_api", "website"] for kind in kinds]
    for file in old:
        file.write_text("old")
    tree.program("docker", "exit 1")
    assert scan(tree, SCANNER="clair").returncode != 0
    assert not [file for file in old if file.exists()]


def test_only_what_was_scanned_is_pushed(tree: Tree) -> None:
    scannable(tree)
    assert scan(tree, SCANNER="clair").returncode == 0
    assert tree.run("ci/push", REGISTRY=REGISTRY, SHA=SHA).returncode == 0
    assert (tree.app / "build/website.digest").read_text().strip() == candidates()[1].replace("-candidate", "")
    assert "is not what was scanned" in tree.run("ci/push", REGISTRY=REGISTRY, SHA=SHA, DIGEST_OF="1" * 64).stderr
    (tree.app / "build/simple_api.candidate").write_text(f"{REGISTRY}/student_list-candidate/simple_api@sha256:{'2' * 64}\n")
    assert "is not about build/simple_api.candidate" in tree.run("ci/push", REGISTRY=REGISTRY, SHA=SHA).stderr


def test_another_scanner_gets_the_same_images(tree: Tree) -> None:
    scannable(tree)
    tree.program("other")
    assert scan(tree, SCAN_COMMAND="other --strict").returncode == 0
    assert [call for call in tree.called() if call.startswith("other")] == [f"other --strict {image}" for image in candidates()]


def test_a_lab_without_a_scanner_pushes_all(tree: Tree) -> None:
    scannable(tree)
    assert tree.run("ci/push", REGISTRY=REGISTRY, SHA=SHA, SCANNER="none").returncode == 0
    assert "nobody has scanned" in tree.run("ci/push", REGISTRY=REGISTRY, SHA=SHA).stderr


@pytest.mark.parametrize(("script", "why"), [("ci/scan", "SCANNER=clair, or SCAN_COMMAND"), ("ci/attack", "ATTACK_COMMAND")])
def test_no_scanner_is_no_pass(tree: Tree, script: str, why: str) -> None:
    tree.built()
    told = tree.run(script)
    assert told.returncode == 1
    assert f"no scanner configured ({why})" in told.stderr


# A docker whose containers are healthy at once.
HEALTHY = 'case "$*" in "inspect "*) echo healthy ;; esac'


def attacks(tree: Tree) -> list[str]:
    return [call for call in tree.called() if call.startswith("poclab")]


def test_attack_tries_what_is_deployed_and_then_stored_data(tree: Tree) -> None:
    tree.built()
    tree.program("docker", HEALTHY)
    told = tree.run("ci/attack", ATTACK_COMMAND="poclab attack", WEB_SCANNER="wapiti")
    assert told.returncode == 0, told.stderr
    first, second = attacks(tree)
    assert first.startswith(
        f"poclab attack --patience 3 --output {tree.app}/build/attack {tree.app}/security/authentication.attack "
    )
    assert first.endswith(f"{tree.app}/security/tls.attack {tree.app}/security/scanner/wapiti.attack")
    assert second.startswith(
        f"poclab attack --patience 3 --output {tree.app}/build/stored --network container:student_list-attack-"
    )
    assert second.endswith("/security/stored/stored.attack")
    starts = [call for call in tree.called() if call.startswith("docker run") and "--detach" in call]
    assert [call.split()[-1] for call in starts] == [DIGEST % "simple_api", DIGEST % "website"]
    # Nothing of it is left.
    assert [call.split()[1] for call in tree.called()[-3:]] == ["rm", "network", "volume"]


@pytest.mark.parametrize(("first", "second", "worst"), [(3, 0, 3), (0, 3, 3), (4, 3, 3), (3, 4, 3), (0, 4, 4), (64, 0, 64)])
def test_an_attack_that_succeeds_ends_the_stage_after_all_were_tried(tree: Tree, first: int, second: int, worst: int) -> None:
    tree.built()
    tree.program("docker", HEALTHY)
    tree.program("poclab", f'case "$*" in *stored.attack) exit {second} ;; esac; exit {first}')
    assert tree.run("ci/attack", ATTACK_COMMAND="poclab attack").returncode == worst
    assert len(attacks(tree)) == 2


def test_attack_needs_a_known_scanner_and_what_was_pushed(tree: Tree) -> None:
    assert "run ci/push first" in tree.run("ci/attack", ATTACK_COMMAND="poclab attack").stderr
    tree.built()
    assert "write zap, wapiti or arachni" in tree.run("ci/attack", ATTACK_COMMAND="poclab attack", WEB_SCANNER="x").stderr
    assert attacks(tree) == []


def test_the_control_attacks_a_twin_that_is_removed(tree: Tree) -> None:
    tree.program("docker", 'case "$*" in "logs "*) echo weak on purpose ;; "inspect "*) echo true ;; esac')
    tree.program("poclab", 'echo "$APP_URL $LAB_SCHEME"; exit 3')
    told = tree.run("security/control", "--format", "json", WEB_SCANNER="wapiti", TWIN_IMAGE="tools:1")
    assert (told.returncode, told.stdout) == (3, "http://twin:5000 http\n")
    [called] = attacks(tree)
    assert called.startswith("poclab attack --control --network container:student_list-twin-")
    assert called.endswith("/stored/stored.attack " + str(tree.app / "security/scanner/wapiti.attack"))
    created = [call for call in tree.called() if call.startswith("docker network create")]
    assert "--internal" in created[0]
    assert [call.split()[1] for call in tree.called()[-2:]] == ["rm", "network"]
    assert tree.run("security/control", WEB_SCANNER="x").returncode == 64
    tree.program("docker", "exit 1")
    assert tree.run("security/control").returncode == 4


def test_clean_never_fails_and_keeps_the_newest_images(tree: Tree) -> None:
    images = "\n".join(f"echo student_list/simple_api:{n}" for n in range(7))
    tree.program(
        "docker",
        f'case "$*" in "ps "*) echo c1 ;; "image ls "*student_list/simple_api) {images}\n;; rm*) exit 1 ;; esac',
    )
    told = tree.run("ci/clean")
    assert told.returncode == 0
    assert "cannot remove the container c1" in told.stdout
    removed = [call for call in tree.called() if call.startswith("docker image rm")]
    assert removed == ["docker image rm student_list/simple_api:5", "docker image rm student_list/simple_api:6"]


def test_clean_removes_what_old_attacks_have_left_and_no_others(tree: Tree) -> None:
    ages = "echo old 2020-01-01T00:00:00.5Z; echo new 2999-01-01T00:00:00Z"
    tree.program(
        "docker",
        f'case "$*" in "ps "*poclab.attack*|"network ls "*poclab.attack*) echo old; echo new ;; *"inspect "*) {ages} ;; esac',
    )
    assert tree.run("ci/clean").returncode == 0
    removed = [call for call in tree.called() if " rm " in call and "image" not in call]
    assert removed == ["docker rm --force --volumes old", "docker network rm old"]
