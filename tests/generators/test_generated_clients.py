"""openapi-python-client and openapi-typescript make clients of the document that enqueue, take and finish a job."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.http.openapi import document
from tests.system.conftest import Program

pytestmark = [pytest.mark.slow, pytest.mark.service, pytest.mark.timeout(400)]

HERE = Path(__file__).parent
LIMIT_S = 300
"""How long an installation may take."""
PYTHON = """
import sys
from generated import Client
from generated.api.consume import next_, succeed
from generated.api.jobs import enqueue, show
from generated.models import JobStatus, JobsWrapper, JobWrapper, NewJob, NewJobs, ProblemWrapper, Success

with Client(sys.argv[1]) as client:
    body = NewJobs(jobs=[NewJob(image="send", payload="to: ann")])
    made = enqueue.sync("generated", client=client, body=body, idempotency_key="python")
    assert isinstance(made, JobsWrapper), made
    taken = next_.sync(client=client, group=["generated"], wait=5)
    assert isinstance(taken, JobsWrapper), taken
    (job,) = taken.jobs
    assert (job.id, job.payload, job.max_retries) == (made.jobs[0].id, "to: ann", 0)
    done = succeed.sync("generated", job.id, client=client, body=Success(), titan_lease=job.lease)
    assert isinstance(done, JobWrapper), done
    assert done.job.status == JobStatus.SUCCEEDED
    missing = show.sync("generated", "0" * 16, client=client)
    assert isinstance(missing, ProblemWrapper)
    print(done.job.completed_at.isoformat(), missing.error.code)
"""
TYPESCRIPT = """
import createClient from 'openapi-fetch';
import type { paths } from './titan.js';

const client = createClient<paths>({ baseUrl: process.argv[2] });
const path = { group_name: 'generated' };
const made = await client.POST('/v1/groups/{group_name}/jobs', {
  params: { path, header: { 'Idempotency-Key': 'typescript' } },
  body: { jobs: [{ image: 'send', payload: 'to: ann' }] },
});
if (made.error) throw new Error(made.error.error.message);
const taken = await client.GET('/v1/jobs', { params: { query: { group: ['generated'], wait: 5 } } });
if (taken.error) throw new Error(taken.error.error.message);
const [job] = taken.data.jobs;
if (job.id !== made.data.jobs[0].id || job.payload !== 'to: ann') throw new Error(JSON.stringify(job));
const done = await client.POST('/v1/groups/{group_name}/jobs/{id}/success', {
  params: { path: { ...path, id: job.id }, header: { 'Titan-Lease': job.lease } },
});
if (done.error) throw new Error(done.error.error.message);
const nowhere = { ...path, id: '0'.repeat(16) };
const missing = await client.GET('/v1/groups/{group_name}/jobs/{id}', { params: { path: nowhere } });
console.log(done.data.job.status, missing.error?.error.code);
"""


@pytest.fixture
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker."""
    program = Program("broker", "--port", "0", folder=tmp_path_factory.mktemp("s"))
    yield program.says(r"serves on (http://\S+);")[1]
    program.stop()
    program.end()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the document."""
    (tmp_path / "openapi.json").write_text(json.dumps(document()))
    return tmp_path


def run(*command: str | Path, folder: Path) -> str:
    """Run a program in the folder; what it printed. A failure shows all of it."""
    path = f"{folder / 'venv/bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder)}
    ran = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_a_client_by_openapi_python_client(url: str, folder: Path) -> None:
    """The generator understands every operation but the upload of a log as text; its client does the work."""
    run(sys.executable, "-m", "venv", "venv", folder=folder)
    python = folder / "venv/bin/python"
    lock = HERE / "requirements.lock"
    run(python, "-m", "pip", "install", "--quiet", "--no-input", "--require-hashes", "-r", lock, folder=folder)
    words = ("generate", "--path", "openapi.json", "--meta", "none", "--output-path", "generated")
    printed = run(folder / "venv/bin/openapi-python-client", *words, folder=folder)
    warnings = [line for line in printed.splitlines() if line.startswith(("WARNING", "ERROR", "Unsupported"))]
    assert [line.split(" within")[0] for line in warnings] == [
        "WARNING parsing POST /v1/groups/{group_name}/jobs/{id}/log",
        "Unsupported content type text/plain",
    ]
    taken = (folder / "generated/api/consume/next_.py").read_text()
    assert "How long to wait for a job when there is none, in s." in taken
    time, code = run(python, "-c", PYTHON, url, folder=folder).split()
    assert time.endswith("+00:00")
    assert code == "not_found"


def test_a_client_by_openapi_typescript(url: str, folder: Path) -> None:
    """The types fit the calls, the compiler finds a payload that is an object, and the client does the work."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("node and npm are not here: apt-get install nodejs npm")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", folder=folder)
    tools = folder / "node_modules/.bin"
    run(tools / "openapi-typescript", "openapi.json", "--output", "titan.d.ts", folder=folder)
    compile_ = (
        tools / "tsc",
        "--strict",
        "--skipLibCheck",
        "--module",
        "nodenext",
        "--target",
        "es2022",
        "--types",
        "node",
    )
    (folder / "scene.ts").write_text(TYPESCRIPT)
    run(*compile_, "scene.ts", folder=folder)
    assert run(node, "scene.js", url, folder=folder) == "succeeded not_found\n"
    (folder / "wrong.ts").write_text(TYPESCRIPT.replace("payload: 'to: ann' }]", "payload: { to: 'ann' } }]"))
    with pytest.raises(AssertionError, match="is not assignable to type 'string'"):
        run(*compile_, "wrong.ts", folder=folder)
