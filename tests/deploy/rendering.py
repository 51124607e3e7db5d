"""What deploy/kubernetes and deploy/helm make, without a cluster: by kubectl kustomize, and by Helm as a library.

`python -m tests.deploy.rendering FOLDER` writes it into a folder, a file for each kustomization and each set of values.
"""

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
CHART = DEPLOY / "helm" / "titan"
FOLDERS = {
    "base": DEPLOY / "kubernetes" / "base",
    "small": DEPLOY / "kubernetes" / "overlays" / "small",
    "production": DEPLOY / "kubernetes" / "overlays" / "production",
}
"""The kustomizations; the chart has a file of values for each overlay, and its defaults for the base."""

Object = dict[str, Any]


@cache
def kustomized(kubectl: str, name: str) -> list[Object]:
    """The objects of the base or an overlay."""
    command = [kubectl, "kustomize", str(FOLDERS[name])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return list(yaml.safe_load_all(done.stdout))


def charted(values: Object) -> list[Object]:
    """The objects of the chart with these values."""
    with helm_python.Chart.load(str(CHART)) as chart:
        texts = chart.render(values, name="titan", namespace="titan")
    return [item for text in texts.values() for item in yaml.safe_load_all(text) if item]


def values_of(name: str) -> Object:
    """The chart's values that make what a kustomization makes."""
    return {} if name == "base" else dict(yaml.safe_load((CHART / f"values-{name}.yaml").read_text()))


def named(objects: list[Object], kind: str, name: str) -> Object:
    """The object of this kind and name."""
    return next(item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name)


def pods(objects: list[Object]) -> dict[str, Object]:
    """The pods' specifications by the name of what makes them."""
    return {
        item["metadata"]["name"]: item["spec"]["template"]["spec"]
        for item in objects
        if item["kind"] in {"Deployment", "StatefulSet"}
    }


def main(folder: Path) -> None:
    """Write everything that is made, for a program that looks at files."""
    kubectl = str(Path(sys.executable).with_name("kubectl"))
    for name in FOLDERS:
        for way, objects in (("kustomize", kustomized(kubectl, name)), ("helm", charted(values_of(name)))):
            (folder / f"{way}-{name}.yaml").write_text(yaml.safe_dump_all(objects))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
