"""The Debian package holds what it should and can be installed; its unit of systemd is valid and locked up."""

import json
import os
import re
import shutil
import subprocess

import pytest
from running_server import BINARY, REPOSITORY
from test_deployment import run, seconds



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
    configuration = root / "etc/waypost/waypost.toml"
    run(BINARY, "config", "check", "--config", configuration, cwd=root)
    assert 'store = "redb:/var/lib/waypost/waypost.redb"' in configuration.read_text().splitlines()


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
