"""The image, the compose file and the manifests are well-formed, say what the binary takes, and fit each other."""

import pathlib
import re
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
    return set(re.findall(r"\[env: (WAYPOST_\w+)", run(BINARY, "serve", "--help")))


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
