"""What is in deploy/ is well-formed, says what the binary takes, and keeps its promises; the Debian package holds it all."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sysconfig

import kubernetes_validate
import pytest
import yaml
from running_server import BINARY, REPOSITORY

DEPLOY = REPOSITORY / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
SCRIPTS = pathlib.Path(sysconfig.get_path("scripts"))


def run(*command, **more):
    """What a command prints; it must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **more)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


@pytest.fixture(scope="module")
def variables():
    """Every environment variable of `waypost serve`."""
    return set(re.findall(r"\[env: (WAYPOST_\w+)=", run(BINARY, "serve", "--help")))


def resources():
    """Every Kubernetes object, with the file that it stands in."""
    for file in sorted(KUBERNETES.glob("*.yaml")):
        for resource in yaml.safe_load_all(file.read_text()):
            yield file.name, resource


def resource(kind, name="waypost"):
    found = [found for _, found in resources() if found["kind"] == kind and found["metadata"]["name"] == name]
    assert len(found) == 1, (kind, name)
    return found[0]


# Docker


def test_the_dockerfile_is_clean_and_unprivileged():
    dockerfile = DEPLOY / "Dockerfile"
    assert run(SCRIPTS / "hadolint", dockerfile) == ""
    text = dockerfile.read_text()
    last = text.rpartition("\nFROM ")[2]
    assert last.startswith("scratch\n")
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE), "a number, as there is no /etc/passwd"
    assert 'CMD ["/waypost", "healthcheck"]' in last
    minimum = re.search(r'^rust-version = "(.*)"', (REPOSITORY / "Cargo.toml").read_text(), re.MULTILINE)[1]
    assert f"FROM rust:{minimum}-" in text


def test_what_the_image_sets_are_options(variables):
    set_by_image = set(re.findall(r"(WAYPOST_\w+)=", (DEPLOY / "Dockerfile").read_text().rpartition("\nFROM ")[2]))
    assert set_by_image and set_by_image <= variables


def test_the_compose_file_is_valid_and_sets_options(variables):
    file = DEPLOY / "compose.yaml"
    run(SCRIPTS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)
    services = yaml.safe_load(file.read_text())["services"]
    server = services["waypost"]
    assert set(server["environment"]) <= variables
    assert services["migrate"]["depends_on"]["database"]["condition"] == "service_healthy"
    assert server["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    drain = sum(seconds(server["environment"][name]) for name in ("WAYPOST_LAME_DUCK", "WAYPOST_GRACE"))
    assert seconds(server["stop_grace_period"]) > drain


# Kubernetes


def test_the_manifests_are_valid():
    for file, manifest in resources():
        # kustomize's own, which is no object of the cluster.
        if manifest["kind"] != "Kustomization":
            kubernetes_validate.validate(manifest, "1.31", strict=True)
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    listed = {*kustomization["resources"], "kustomization.yaml", "secrets.example.yaml"}
    assert listed == {file.name for file in KUBERNETES.iterdir()}


def test_the_pods_are_configured_by_options_that_exist(variables):
    configured = resource("ConfigMap")["data"]
    assert set(configured) <= variables
    pod = resource("Deployment")["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    ports = {port["containerPort"] for port in server["ports"]}
    addresses = ("WAYPOST_GRPC_ADDR", "WAYPOST_PAGE_ADDR", "WAYPOST_OPS_ADDR")
    assert ports == {int(configured[name].rpartition(":")[2]) for name in addresses}
    mounted = {mount["mountPath"] for mount in server["volumeMounts"]}
    files = [configured[name] for name in configured if name.endswith("_FILE")]
    assert {str(pathlib.PurePath(file).parent) for file in files} == mounted
    secrets = {volume["name"]: volume["secret"]["secretName"] for volume in pod["volumes"]}
    for mount in server["volumeMounts"]:
        keys = resource("Secret", secrets[mount["name"]])["stringData"]
        assert {f"{mount['mountPath']}/{key}" for key in keys} <= set(files)
    for container in pod["initContainers"] + pod["containers"]:
        for variable in container["env"]:
            key = variable["valueFrom"]["secretKeyRef"]
            assert key["key"] in resource("Secret", key["name"])["stringData"]


def test_the_pods_have_time_to_drain_and_no_privilege():
    configured, pod = resource("ConfigMap")["data"], resource("Deployment")["spec"]["template"]["spec"]
    drain = seconds(configured["WAYPOST_LAME_DUCK"]) + seconds(configured["WAYPOST_GRACE"])
    assert pod["terminationGracePeriodSeconds"] > drain
    assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
    for container in pod["initContainers"] + pod["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
    (server,) = pod["containers"]
    # The lame duck is longer than the kubelet takes to notice.
    readiness = server["readinessProbe"]
    notices = readiness["periodSeconds"] * readiness["failureThreshold"]
    assert notices < seconds(configured["WAYPOST_LAME_DUCK"])
    assert readiness["grpc"]["port"] == 50051 and server["livenessProbe"]["httpGet"]["path"] == "/livez"


def test_everything_is_about_the_same_pods():
    label = {"app.kubernetes.io/name": "waypost"}
    deployment = resource("Deployment")["spec"]
    assert deployment["selector"]["matchLabels"] == deployment["template"]["metadata"]["labels"] == label
    assert resource("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == label
    assert resource("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == label
    headless, pages = resource("Service")["spec"], resource("Service", "waypost-pages")["spec"]
    assert headless["selector"] == pages["selector"] == label and headless["clusterIP"] == "None"
    assert resource("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == "waypost"
    assert "replicas" not in deployment, "the autoscaler says how many"


# systemd and Debian


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The package of the program under test, and what it unpacks to."""
    # Compressed little: this is not for shipping.
    made = run(REPOSITORY / "scripts" / "deb", BINARY, env={**os.environ, "WAYPOST_DEB_LEVEL": "0"})
    file = REPOSITORY / made.strip()
    root = tmp_path_factory.mktemp("installed")
    run("dpkg-deb", "--extract", file, root)
    return file, root


def test_the_package_installs_what_it_should(package):
    file, root = package
    for path in [
        "etc/waypost/waypost.toml",
        "usr/bin/waypost",
        "usr/lib/systemd/system/waypost.service",
        "usr/share/bash-completion/completions/waypost",
        "usr/share/doc/waypost/changelog.gz",
        "usr/share/doc/waypost/copyright",
        "usr/share/fish/vendor_completions.d/waypost.fish",
        "usr/share/man/man1/waypost.1.gz",
        "usr/share/man/man1/waypost-serve.1.gz",
        "usr/share/zsh/vendor-completions/_waypost",
    ]:
        assert (root / path).stat().st_size > 0, path
    assert all(" root/root " in line for line in run("dpkg-deb", "--contents", file).splitlines())
    fields = run("dpkg-deb", "--field", file)
    version = run(root / "usr/bin/waypost", "--version").split()[1]
    assert f"Version: {version}\n" in fields and "Package: waypost\n" in fields
    control = root.parent / "control"
    run("dpkg-deb", "--control", file, control)
    assert (control / "conffiles").read_text() == "/etc/waypost/waypost.toml\n", "an upgrade keeps what was changed"
    for script in ("postinst", "prerm", "postrm"):
        assert os.access(control / script, os.X_OK)
        run("sh", "-n", control / script)


def test_the_configuration_of_the_package_is_good(package):
    _, root = package
    run(BINARY, "config", "check", "--config", root / "etc/waypost/waypost.toml", cwd=root)


def test_the_package_installs_and_is_removed(package, tmp_path):
    """In a system of its own, by dpkg, as far as that works without one: the scripts have nothing to start there."""
    if os.geteuid() != 0:
        pytest.skip("dpkg installs for root only")
    file, _ = package
    for folder in ("var/lib/dpkg/updates", "var/lib/dpkg/info", "etc"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").touch()
    dpkg = ["dpkg", f"--root={tmp_path}", "--force-depends", "--force-script-chrootless", "--force-not-root"]
    run(*dpkg, "--install", file)
    configuration = tmp_path / "etc/waypost/waypost.toml"
    configuration.write_text("sandbox = true\n")
    run(*dpkg, "--remove", "waypost")
    assert not (tmp_path / "usr/bin/waypost").exists()
    assert configuration.read_text() == "sandbox = true\n", "what was changed stays until it is purged"
    run(*dpkg, "--purge", "waypost")
    assert not configuration.exists()


def test_the_unit_is_valid_and_locked_up(package, tmp_path):
    _, root = package
    unit = "waypost.service"
    # systemd looks for the program and the units that this one names; those are there on a real system.
    installed = tmp_path / unit
    text = (root / "usr/lib/systemd/system" / unit).read_text()
    installed.write_text(text.replace("/usr/bin/waypost", str(root / "usr/bin/waypost")))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", installed], capture_output=True, text=True, timeout=60)
    problems = [line for line in done.stderr.splitlines() if "waypost" in line]
    assert problems == [], done.stderr
    rated = run("systemd-analyze", "security", "--offline=true", "--json=short", installed)
    assert json.loads(rated)
    # 0 is locked up wholly, 10 not at all. What is left: it is on the network, and of its own user only.
    run("systemd-analyze", "security", "--offline=true", "--threshold=15", installed)
    options = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    assert options["DynamicUser"] == "yes" and options["StateDirectory"] == "waypost"
    # Lame duck and grace are the operator's; with the defaults a stop is never cut.
    grace = re.search(r'^#grace = "(.*)"', (root / "etc/waypost/waypost.toml").read_text(), re.MULTILINE)[1]
    assert int(options["TimeoutStopSec"]) > seconds(grace)


def test_programs_that_this_needs_are_here():
    """Said in one place, and not by a test that passes without them."""
    for program in ("dpkg-deb", "systemd-analyze", "unshare"):
        assert shutil.which(program), f"{program} is missing: scripts/test installs it"
