"""What a job gets from the jobs that it waited for: asked of the broker before it runs."""

import msgspec

from broker.core.errors import TitanError
from broker.models.jobs import Job
from worker.client import Client
from worker.daemon.backoff import Outage, resend

NO_INPUTS = b"[]"
_encode = msgspec.json.Encoder().encode


async def inputs_of(client: Client, job: Job, outage: Outage) -> bytes:
    """The inputs of a job that has some, as a JSON list; it waits while the broker is away.

    Without inputs are the jobs of a broker that knows none, and a job that is gone: its run ends soon.
    """
    try:
        found = await resend("asking for inputs", lambda: client.inputs(job.group_name, job.id), outage=outage)
    except TitanError:
        return NO_INPUTS
    return _encode(found)
