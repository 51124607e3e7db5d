"""The board and the alerts of deploy/, against a broker and a worker under load, promtool and a real Prometheus."""

import json
import re
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from broker.docs.markdown import anchor_of
from tests.deploy.brokers import ask, eventually, serving
from tests.deploy.conftest import Need

pytestmark = pytest.mark.slow

HOW = "apt-get install prometheus"
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_OF_SOME = {"titan_store_failovers_total"}
"""Metrics that only a broker whose store can move has."""
_PROMETHEUS = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - {{job_name: titan, static_configs: [{{targets: ["{broker}"]}}]}}
  - {{job_name: titan-worker, static_configs: [{{targets: ["127.0.0.1:{worker}"]}}]}}
"""


class Scene(NamedTuple):
    """A broker and a worker that have done something of each kind."""

    url: str
    port: int

    @property
    def pages(self) -> tuple[str, str]:
        """Where the metrics of the two are."""
        return f"{self.url}/metrics", f"http://127.0.0.1:{self.port}/metrics"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Jobs that succeeded, failed, were retried, promoted, cancelled and refused, and one that waits."""
    folder, port = tmp_path_factory.mktemp("metrics"), free_port()
    run = ("--run", "good=echo done", "--run", "bad=false", "--metrics-port", str(port), "--wait-s", "1")
    with serving(folder, "--metrics-groups", "mail*") as url, program("worker", "--broker-url", url, *run):
        jobs = f"{url}/v1/groups/mail/jobs"
        new = [{"image": "good"}] * 20 + [{"image": "bad", "max_retries": 1}] * 2 + [{"image": "bad"}]
        failing = ask(jobs, {"jobs": new})[1]["jobs"][-1]["id"]
        late = ask(jobs, {"jobs": [{"image": "good", "delay": 600}] * 2})[1]["jobs"]
        assert eventually(lambda: ask(f"{url}/v1/groups/mail")[1]["group"]["counts"]["failed"] == 3, 20)
        ask(f"{jobs}/{failing}/retry", {})
        ask(f"{jobs}/{late[0]['id']}/promote", {})
        ask(f"{jobs}/{late[1]['id']}/cancel", {})
        ask(f"{jobs}/{late[1]['id']}/promote", {})
        ask(f"{url}/v1/groups/other/jobs", {"jobs": [{"image": "nobody"}]})
        assert eventually(lambda: 'outcome="succeeded"' in read(f"http://127.0.0.1:{port}/metrics"))
        assert eventually(lambda: "titan_workers{" in read(f"{url}/metrics"), 15)
        yield Scene(url, port)


def test_promtool_finds_no_fault_in_the_metrics(scene: Scene, need: Need) -> None:
    """Names, types and texts of both programs are as Prometheus wants them, under load."""
    promtool = need("promtool", HOW)
    for page in scene.pages:
        told = read(page)
        checked = subprocess.run(
            [promtool, "check", "metrics"], input=told, capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
        assert told.count("\n# TYPE titan_") > 10


def test_both_formats_have_the_same(scene: Scene) -> None:
    """A scraper that asks for OpenMetrics gets it, with the same names; its strict parser reads it."""
    for page in scene.pages:
        told = read(page, "application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
        families = {family.name for family in text_string_to_metric_families(told)}
        assert families == {name.removesuffix("_total") for name in types_of(read(page))}


def test_jobs_are_counted(scene: Scene) -> None:
    """What happened to the jobs is counted once, under the pattern of their group; other groups are _other."""
    told = read(scene.pages[0])
    for line in (
        'titan_jobs_enqueued_total{group="mail*"} 28.0',
        'titan_jobs_enqueued_total{group="_other"} 1.0',
        'titan_jobs_finished_total{group="mail*",status="cancelled"} 1.0',
        'titan_jobs_retried_total{group="mail*",how="automatic"} 2.0',
        'titan_jobs_retried_total{group="mail*",how="manual"} 1.0',
        'titan_jobs_promoted_total{group="mail*"} 1.0',
        'titan_refusals_total{word="wrong_state"} 1.0',
    ):
        assert f"{line}\n" in told
    assert re.search(r'^titan_job_run_seconds_count\{group="mail\*",status="failed"\} [1-9]', told, re.MULTILINE)
    assert re.search(r'^titan_build_info\{version="[^"]+"\} 1\.0$', told, re.MULTILINE)


def test_rules_and_their_tests(deploy: Path, need: Need) -> None:
    """Prometheus accepts the rules, and each alert fires and does not fire as its two tests say."""
    promtool = need("promtool", HOW)
    for words in (("check", "rules", "alerts.yaml"), ("test", "rules", "alerts_test.yaml")):
        done = subprocess.run([promtool, *words], cwd=deploy, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    tests = yaml.safe_load((deploy / "alerts_test.yaml").read_text())["tests"]
    wanted = {(f"{rule['alert']} {what}") for rule in rules(deploy) for what in ("fires", "does not fire")}
    assert {test["name"] for test in tests} == wanted


def test_each_alert_has_its_entry_in_the_runbook(deploy: Path, top: Path) -> None:
    """The address of an alert leads to a heading of the runbook with its name, and each such heading has an alert."""
    page = (top / "broker/docs/runbook.md").read_text().partition("\n## Alerts\n")[2].partition("\n## ")[0]
    headings = re.findall(r"^### (\w+)$", page, re.MULTILINE)
    links = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in rules(deploy)}
    assert headings == list(links)
    for name, link in links.items():
        assert link == f"https://titan.example.org/docs/runbook#{anchor_of(name)}"


def test_every_name_of_board_and_rules_exists(scene: Scene, deploy: Path) -> None:
    """Each expression can be parsed, and each metric in it is one that a broker or a worker shows."""
    parser = pytest.importorskip("promql_parser")
    shown = {name for page in scene.pages for name in types_of(read(page))} | _OF_SOME
    shown |= {f"{name}_{end}" for name in shown for end in ("bucket", "count", "sum")}
    board = json.loads((deploy / "grafana.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    queries += [rule["expr"] for rule in rules(deploy)]
    for query in queries:
        plain = query.replace("$__rate_interval", "5m").replace("$job", ".*").replace("$group", ".*")
        parser.parse(plain)
        assert set(re.findall(r"\b(?:titan|process)_\w+", plain)) <= shown, query
    assert len(queries) > 50


def test_board_is_whole(deploy: Path) -> None:
    """The board has its address, variables and rows, and no two panels share an id or a place."""
    board = json.loads((deploy / "grafana.json").read_text())
    assert board["uid"] == "titan"
    assert [one["name"] for one in board["templating"]["list"]] == ["datasource", "job", "group"]
    rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]
    assert rows == ["Now", "Flow", "Time", "Groups", "Workers", "Broker", "Store"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    places: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not own & places, panel["title"]
        places |= own
        assert panel["type"] == "row" or panel["targets"]


def test_prometheus_scrapes_both(scene: Scene, deploy: Path, need: Need, tmp_path: Path) -> None:
    """A Prometheus with the rules reads both programs and answers a query of the board."""
    prometheus, port = need("prometheus", HOW), free_port()
    config = tmp_path / "prometheus.yml"
    broker = scene.url.removeprefix("http://")
    config.write_text(_PROMETHEUS.format(rules=deploy / "alerts.yaml", broker=broker, worker=scene.port))
    words = (
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with subprocess.Popen([prometheus, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            query = 'sum(titan_worker_runs_total{outcome="failed"}) + sum(titan_jobs_promoted_total)'
            assert eventually(lambda: answer(port, query) == 5.0, 20)
            assert answer(port, "sum(up)") == 2.0
            assert answer(port, 'max(titan_worker_slots{worker=""}) - sum(titan_worker_slots{worker!=""})') == 0.0
        finally:
            process.terminate()


def rules(deploy: Path) -> list[dict[str, Any]]:
    """The alerts."""
    [group] = yaml.safe_load((deploy / "alerts.yaml").read_text())["groups"]
    return list(group["rules"])


def types_of(told: str) -> set[str]:
    """The names of the metrics of a page in the text format."""
    return set(re.findall(r"^# TYPE (\w+) ", told, re.MULTILINE))


def read(url: str, accept: str = "") -> str:
    """A page; empty while nobody answers."""
    try:
        with _NO_PROXY.open(urllib.request.Request(url, headers={"Accept": accept}), timeout=10) as got:
            return str(got.read().decode())
    except OSError:
        return ""


def answer(port: int, query: str) -> float | None:
    """The value that a Prometheus answers; None while it has none."""
    told = read(f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
    found = json.loads(told)["data"]["result"] if told else []
    return float(found[0]["value"][1]) if found else None


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def program(*words: str) -> Iterator[None]:
    """A command of Titan that runs inside the block."""
    with subprocess.Popen([sys.executable, "-m", "broker", *words], stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=20)
