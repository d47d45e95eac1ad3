//! Versions of the application, built and pushed with the scripts of app/ci as the pipeline does.

#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::container_lab::Project;

/// One version, in the registry.
pub struct Version {
    pub commit: String,
    /// What ci/push wrote: part and image by digest.
    digests: Vec<(String, String)>,
}

impl Version {
    /// An image as the application's host pulls it.
    pub fn pulled(&self, part: &str) -> String {
        self.digest(part).replace(":5000/", ":5443/")
    }

    fn digest(&self, part: &str) -> String {
        self.digests.iter().find(|(name, _)| name == part).unwrap().1.clone()
    }
}

/// Two good versions and one that never becomes healthy.
pub struct Versions {
    folder: tempfile::TempDir,
    pub a: Version,
    pub b: Version,
    pub sick: Version,
}

const PARTS: [&str; 2] = ["simple_api", "website"];

fn good(command: &mut Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

impl Versions {
    /// Builds them on this machine, from the mirror's base image.
    pub fn build(lab: &Project) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let app = folder.path().join("app");
        let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
        let files = good(Command::new("git").args(["ls-files", "app"]).current_dir(tree));
        for file in files.lines().filter(|file| tree.join(file).is_file()) {
            let to = folder.path().join(file);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(tree.join(file), to).unwrap();
        }
        good(Command::new("docker").args(["load", "--input"]).arg(mirror().join("images/python.tar")));
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command.args(["-c", "user.name=test", "-c", "user.email=test@example.invalid"]).args(arguments).current_dir(&app);
            good(&mut command).trim().to_owned()
        };
        git(&["init", "--quiet"]);
        git(&["add", "."]);
        let build = |message: &str| {
            git(&["commit", "--quiet", "--allow-empty", "--message", message]);
            good(Command::new(app.join("ci/gates")).env("DOCKER_BUILDKIT", "0"));
            good(Command::new(app.join("ci/build")).env("DOCKER_BUILDKIT", "0"));
            Version { commit: git(&["rev-parse", "HEAD"]), digests: Vec::new() }
        };
        let (a, b) = (build("a"), build("b"));
        git(&["commit", "--quiet", "--allow-empty", "--message", "sick"]);
        let sick = Version { commit: git(&["rev-parse", "HEAD"]), digests: Vec::new() };
        for part in PARTS {
            let text = format!(
                "FROM student_list/{part}:{}\nLABEL org.opencontainers.image.revision={1}\nENV COMMIT_SHA={1}\nHEALTHCHECK --interval=1s --retries=2 CMD [\"false\"]\n",
                b.commit, sick.commit
            );
            let dockerfile = folder.path().join("Dockerfile");
            std::fs::write(&dockerfile, text).unwrap();
            let mut command = Command::new("docker");
            command.args(["build", "--quiet", "--tag", &format!("student_list/{part}:{}", sick.commit), "--file"]);
            good(command.arg(&dockerfile).arg(folder.path().join("app/ci")));
        }
        let mut versions = Self { folder, a, b, sick };
        versions.push(lab);
        versions
    }

    /// Brings them to the deployment server and pushes them from there with ci/push.
    fn push(&mut self, lab: &Project) {
        let deploy = lab.container("deploy");
        let names: Vec<String> =
            self.commits().iter().flat_map(|commit| PARTS.map(|part| format!("student_list/{part}:{commit}"))).collect();
        let mut save = Command::new("docker").arg("save").args(&names).stdout(Stdio::piped()).spawn().unwrap();
        good(Command::new("docker").args(["exec", "--interactive", &deploy, "docker", "load"]).stdin(save.stdout.take().unwrap()));
        assert!(save.wait().unwrap().success());
        lab.on("deploy", "mkdir -p /root/app/build /root/app/pushed");
        good(Command::new("docker").args(["cp", "--quiet"]).arg(self.tree().join("ci")).arg(format!("{deploy}:/root/app/")));
        let secret = |name: &str, field: &str| {
            let output = lab.poclab_quietly(&["secrets", "show", name, "--field", field]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let key = self.key();
        std::fs::write(&key, secret("app_deploy", "private")).unwrap();
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        good(Command::new("docker").args(["cp", "--quiet"]).arg(&key).arg(format!("{deploy}:/root/key")));
        lab.on("deploy", "chown root:root /root/key && chmod 600 /root/key");
        let password = secret("registry_push", "password");
        let registry = "registry.lab.example:5000";
        let login = format!("echo '{}' | docker login --username push --password-stdin {registry} 2>&1", password.trim());
        lab.on("deploy", &login);
        for version in [&mut self.a, &mut self.b, &mut self.sick] {
            let commit = &version.commit;
            lab.on(
                "deploy",
                &format!(
                    "rm -f /root/app/build/*; echo {commit} >/root/app/build/commit; SCANNER=none REGISTRY={registry} /root/app/ci/push >&2"
                ),
            );
            lab.on("deploy", &format!("cp -r /root/app/build /root/app/pushed/{commit}"));
            for part in PARTS {
                let digest = lab.on("deploy", &format!("cat /root/app/build/{part}.digest")).trim().to_owned();
                version.digests.push((part.to_owned(), digest));
            }
        }
    }

    /// The playbook for a version, run on this machine.
    pub fn playbook(&self, lab: &Project, version: &Version) -> Command {
        let text =
            lab.on("deploy", "cat /etc/poclab/deploy.yml").replace("/etc/poclab/known_hosts", &self.known_hosts().display().to_string());
        let config = self.folder.path().join("deploy.yml");
        std::fs::write(&config, text).unwrap();
        std::fs::write(self.known_hosts(), lab.on("deploy", "cat /etc/poclab/known_hosts")).unwrap();
        let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/ansible-venv");
        let mut command = Command::new(self.tree().join("deploy/run"));
        command.args([version.commit.clone(), version.digest("simple_api"), version.digest("website")]);
        command.env("DEPLOY_KEY", self.key()).env("DEPLOY_CONFIG", config).env("DEPLOY_VENV", venv);
        // A list of our own: what this machine happens to have is not what is tested.
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("ANSIBLE_PLAYBOOK", "");
        command
    }

    fn commits(&self) -> [&str; 3] {
        [&self.a.commit, &self.b.commit, &self.sick.commit]
    }

    /// The application's folder of these versions.
    pub fn tree(&self) -> PathBuf {
        self.folder.path().join("app")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    fn known_hosts(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }
}

/// The stages of the gates stay on this machine's engine: what did not change is not built again next time.
impl Drop for Versions {
    fn drop(&mut self) {
        for commit in self.commits() {
            for part in PARTS {
                let name = format!("student_list/{part}:{commit}");
                let _ = Command::new("docker").args(["image", "rm", &name]).stdout(Stdio::null()).stderr(Stdio::null()).status();
            }
        }
    }
}

/// Where `rehearse up` has put the mirror.
fn mirror() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("POCLAB_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("poclab")))
        .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/poclab"));
    cache.join("mirror")
}
