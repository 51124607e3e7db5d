"""The client in its plain form: one method a verb, and nothing beyond the standard library."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from titan import calls
from titan.attempts import PASSING, Attempts, LogWaiting, Waiting
from titan.batching import BatchMethods
from titan.configured import ConfiguredClient
from titan.connections import Connections
from titan.consuming import Consumer
from titan.errors import NotFound, TitanError
from titan.jobs import NewJob
from titan.listening import PAUSE_S, Listening

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    from titan.jobs import Input, Job, Parents, Seconds, Time, UniqueKey
    from titan.listening import Event

T = TypeVar("T")


class Client(BatchMethods, ConfiguredClient):
    """A client of a broker. It may be used by several threads, and as a context manager, which closes it.

        with Client("http://127.0.0.1:8080", token="…") as client:
            job = client.enqueue("mail", image="send", payload={"to": "ann"})
            print(client.wait("mail", job.id).status)

    `url`: the address of the broker, or several: the next one is used when one fails. Default: the environment variable
    TITAN_BROKER_URL (several are separated by ;), else http://127.0.0.1:8080.
    `token`: needed if the broker has a file of tokens. Default: the environment variable TITAN_TOKEN.
    `ca_file`: the authorities that sign the certificate of a https:// broker. Default: those of the system.
    `cert_file`: the client's certificate and key, in one PEM file. `tls`: a context of the caller instead of these two.
    `timeout_s`: how long to wait for an answer, s. A long poll has its own time in addition.
    `retries`: how often a call is repeated after an error that passes, such as a broker that cannot be reached. A call
    is repeated only if that cannot do anything twice; an enqueue has an Idempotency-Key for that. 0: never.

    Every method raises a class of `titan.errors` with the text of the broker. ValueError: an argument is invalid.
    """

    def _open(self) -> None:
        self._connections = Connections(self._settings)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        self._connections.close()

    def enqueue(
        self,
        group: str,
        *,
        image: str | None = None,
        payload: Any = None,
        delay: Seconds | None = None,
        timeout: Seconds | None = None,
        priority: int | None = None,
        max_retries: int | None = None,
        retries_delay: Seconds | None = None,
        run_at: Time | None = None,
        start_within: Seconds | None = None,
        start_before: Time | None = None,
        end_within: Seconds | None = None,
        end_before: Time | None = None,
        retry: Mapping[str, Any] | None = None,
        after: Parents | None = None,
        after_on: str | None = None,
        unique: UniqueKey | None = None,
        job_key: str | None = None,
        key: str = "",
        is_durable: bool = False,
    ) -> Job:
        """Enqueue one job. The fields are those of `NewJob`; a group may have a default image.

        A payload that is no str is sent as JSON text. `key`: an Idempotency-Key; calls with the same key and the same
        job enqueue one job within 24 h. `is_durable`: wait until the job is on the disk of the store. With `unique`,
        `duplicate` of the job says that it existed already. Raises Duplicate if the conflict is refused. `job_key`: the
        `key` of the job.
        """
        times = (run_at, start_within, start_before, end_within, end_before)
        ties = (retry, None, after, after_on, unique)
        job = NewJob(image, payload, delay, timeout, priority, max_retries, retries_delay, *times, *ties, key=job_key)
        return self._do(calls.enqueue(group, [job], key, is_durable=is_durable))[0]

    def enqueue_many(
        self, group: str, jobs: Iterable[calls.AnyNewJob], *, key: str = "", is_durable: bool = False
    ) -> list[Job]:
        """Enqueue any number of jobs, in order: `NewJob`s, or dicts of their fields.

        Each call has up to 1,000 jobs, and enqueues all of them or none; a `ref` is known in its call. With a `key` the
        whole may be repeated after an error in between: what is enqueued already is not enqueued again.
        """
        made: list[Job] = []
        for number, batch in enumerate(calls.batches(jobs)):
            batch_key = f"{key}-{number}" if key and number else key
            enqueued = self._do(calls.enqueue(group, batch, batch_key, is_durable=is_durable))
            made += enqueued
        return made

    def get(self, group: str, job_id: str) -> Job:
        """The job as it is now. Raises NotFound."""
        return self._do(calls.get(group, job_id))

    def wait(self, group: str, job_id: str, *, timeout_s: float | None = None, follow_retries: bool = True) -> Job:
        """Wait until the job is finished; the job. If it failed and is retried, the last of its retries.

        A job that failed is a result, not an error. Raises TimeoutError after `timeout_s`, and NotFound.
        """
        waiting = Waiting(job_id, timeout_s, follow_retries=follow_retries)
        while True:
            try:
                job = self._do(calls.get(group, waiting.job_id, waiting.wait_s))
                pause_s = waiting.pause_after(job)
            except TitanError as error:
                pause_s = waiting.pause_after_failure(error)
            if pause_s is None:
                return job
            time.sleep(pause_s)

    def enqueue_and_wait(
        self, group: str, *, timeout_s: float | None = None, follow_retries: bool = True, **fields: Any
    ) -> Job:
        """Enqueue one job, and wait until it is finished; the job, with its `result` if it succeeded.

        `fields` are the arguments of `enqueue`. In most cases this is one call. Raises what `enqueue` and `wait` raise.
        """
        key, is_durable = fields.pop("key", ""), fields.pop("is_durable", False)
        waiting = Waiting("", timeout_s, follow_retries=follow_retries)
        call = calls.enqueue(group, [NewJob(**fields)], key, is_durable=is_durable, wait_s=waiting.wait_s)
        job = (self._do(call))[0]
        if job.is_finished and not (follow_retries and job.retried_by):
            return job
        return self.wait(group, job.id, timeout_s=waiting.left_s, follow_retries=follow_retries)

    def inputs(self, group: str, job_id: str) -> list[Input]:
        """What the job got from those in its `after`, in their order. Results stay when these are gone."""
        return self._do(calls.inputs(group, job_id))

    def cancel(self, group: str, job_id: str) -> Job:
        """Cancel a job that is not finished; its worker stops within 2 s. A cancelled one stays as it is.

        Raises WrongState if it succeeded or failed.
        """
        return self._do(calls.cancel(group, job_id))

    def retry(self, group: str, job_id: str, *, dependants: bool = False) -> Job:
        """Make a job that repeats a finished one, and return it. Raises WrongState if it was retried already.

        `dependants`: repeat the jobs too that were cancelled since it did not succeed; they wait as before.
        """
        return self._do(calls.retry(group, job_id, has_dependants=dependants))

    def promote(self, group: str, job_id: str) -> Job:
        """Queue a delayed job now."""
        return self._do(calls.promote(group, job_id))

    def delete(self, group: str, job_id: str) -> None:
        """Delete a finished job and its log. Raises WrongState for another one."""
        self._do(calls.delete(group, job_id))

    def put_schedule(self, group: str, name: str, *, job: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
        """Create or replace a schedule; the schedule as the API has it. The same one again changes nothing.

            client.put_schedule("mail", "digest", cron="30 7 * * 1-5", zone="Europe/Berlin", job={"image": "digest"})

        Raises Invalid for a time that never comes, an unknown zone and the like.
        """
        return self._do(calls.put_schedule(group, name, {**fields, "job": job}))

    def get_schedule(self, group: str, name: str) -> dict[str, Any]:
        """A schedule: its next time, its last job, and how often it did what. Raises NotFound."""
        return self._do(calls.get_schedule(group, name))

    def run_schedule(self, group: str, name: str, *, overlap: str = "") -> Job:
        """Make the job of a schedule now. Raises WrongState while another one has not ended."""
        return self._do(calls.run_schedule(group, name, overlap))

    def remove_schedule(self, group: str, name: str) -> None:
        """Remove a schedule. Its jobs stay. Raises NotFound."""
        self._do(calls.remove_schedule(group, name))

    def log(self, group: str, job_id: str, *, tail: int | None = None) -> str:
        """The log of the job so far, or its last `tail` lines. Raises NotFound if there is none.

        The log of a job that has just finished may still be on its way: then it waits for it, up to 5 s.
        """
        waiting = LogWaiting()
        while True:
            try:
                return self._do(calls.log(group, job_id, tail))
            except NotFound as missing:
                pause_s = waiting.pause_after(missing, self.get(group, job_id))
            time.sleep(pause_s)

    def consume(
        self, *groups: str, images: str | Sequence[str] = (), n: int = 1, lease_s: int = 30, wait_s: int = 20
    ) -> Consumer:
        """Take jobs of these groups, or of all, and of this image, these, or all. See `Consumer`.

        `n`: how many jobs to take at once. `lease_s`: after how many seconds a job goes back to its queue when this
        process dies; until then its lease is renewed. `wait_s`: how long one call waits for a job, 0 to 30 s.
        """
        call = calls.next_jobs(groups, images, n, wait_s, lease_s)
        return Consumer(self._do, Connections(self._settings), call, lease_s)

    def events(
        self, *groups: str, kinds: str | Sequence[str] = (), since: Time | None = None, last_id: str = ""
    ) -> Iterator[Event]:
        """What happens to jobs of these groups, or of all, as it happens, without an end; of these kinds, or of all.

        `since`, or `last_id` of an event: begin with what happened since then, as far as it is kept. A lost connection
        is made again, at the next broker, and continues where it was. It is for eyes and hooks, and not a queue: where
        events are missing there is one of the kind `gap`.
        """
        listening = Listening(groups, kinds, since, last_id)
        while True:
            try:
                for line in self._connections.lines(listening.request, PAUSE_S):
                    event = listening.feed(line)
                    if event is not None:
                        yield event
            except PASSING:
                if not listening.has_begun:
                    raise
            time.sleep(listening.pause_s())

    def list(  # the last method: after it `list` would no longer be the type
        self,
        group: str,
        *,
        statuses: str | Sequence[str] = (),
        image: str = "",
        reason: str = "",
        text: str = "",
        created_after: datetime | None = None,
        newest_first: bool = False,
        page_size: int = 100,
    ) -> Iterator[Job]:
        """All jobs of the group that match, the oldest first; the pages are read as they are needed.

        `statuses`: one, or several. `text`: a part of the payload. `page_size`: 1 to 1,000.
        """
        others = {"image": image, "reason": reason, "text": text, "order": "desc" if newest_first else ""}
        query = calls.list_query(statuses, created_after, others, page_size)
        cursor, has_more = "", True
        while has_more:
            page = self._do(calls.page(group, [*query, ("cursor", cursor)]))
            yield from page.jobs
            cursor, has_more = page.cursor, page.cursor != ""

    def _do(self, call: calls.Call[T]) -> T:
        """Send a call until it is answered, and read the answer."""
        attempts = Attempts(call, self._settings.retries)
        while True:
            try:
                return call.read(self._connections.send(call.request))
            except TitanError as error:
                if attempts.is_done(error):
                    return call.read(calls.NOTHING)
                pause_s = attempts.pause_s(error)
            time.sleep(pause_s)
