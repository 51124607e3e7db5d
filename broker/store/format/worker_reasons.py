"""The reasons of an explanation that say who asks for a job, and which workers would run it."""

from collections.abc import Iterator

import msgspec
from msgspec import UNSET

from broker.core.words import counted
from broker.models.jobs import Job
from broker.models.why import WhyReason
from broker.models.workers import Announcement, Departed, Worker
from broker.store.asked import ANY
from broker.store.format.prose_times import distance, span
from broker.store.format.why_facts import MOST_IMAGES, NOTED_MS, Facts, time_or_unset

SIGHT = 200
"""How many jobs at the front of a queue `next` with images reads."""
_SHOWN_IMAGES = 10


def worker_reasons(facts: Facts) -> Iterator[WhyReason]:
    """Who asks for the job, and which workers would run it."""
    job = facts.job
    if job is None:
        return
    own = [worker for worker in facts.workers if _serves(worker, job)]
    working = [worker for worker in own if worker.state == "working"]
    quiet = [worker for worker in own if worker.state in {"quiet", "draining"}]
    has_free = any(worker.busy < worker.slots for worker in working)
    gone = None if own else _last_gone(facts, job)
    if gone is not None:
        text = f"No worker takes jobs of {facts.group} with the image {job.image} now: "
        text += f"the last one, {gone.worker.name}, left {distance(gone.at, facts.now)}."
        yield WhyReason(code="no_worker_for_image", text=text, since=time_or_unset(gone.at), worker=gone.worker.name)
    elif not own or has_free:
        yield from _of_asking(facts, job)
    if working and not has_free:
        busy, slots = sum(worker.busy for worker in working), sum(worker.slots for worker in working)
        text = f"All workers for it are full: {busy:,} of {slots:,} slots of {counted(len(working), 'worker')}."
        yield WhyReason(code="workers_full", text=text, n=busy, limit=slots)
    if quiet and not has_free:
        text = f"Workers for it take no jobs: {len(quiet):,} quiet or draining."
        yield WhyReason(code="workers_quiet", text=text, n=len(quiet))


def _last_gone(facts: Facts, job: Job) -> Departed | None:
    """The last worker for the job that has stopped, if nobody else has surely asked since."""
    image = msgspec.json.encode(job.image).decode()
    asked_at = facts.image_asked_at(ANY, image)
    own = [one for one in facts.departed if _serves(one.worker, job) and facts.is_recent(one.at)]
    last = max(own, key=lambda one: one.at, default=None)
    return None if last is None or (asked_at is not None and asked_at > last.at + NOTED_MS) else last


def _of_asking(facts: Facts, job: Job) -> Iterator[WhyReason]:
    """Whether somebody asks for the group and the image of the job."""
    if not facts.is_recent(facts.asked_at):
        n_s = UNSET if facts.asked_at is None else max(0, facts.now - facts.asked_at) // 1000
        when = "in the last hour" if n_s is UNSET else f"for {span(n_s)}"
        text = f"Nobody has asked for jobs of {facts.group} {when}."
        yield WhyReason(code="no_worker_asks", text=text, since=time_or_unset(facts.asked_at), n=n_s)
        return
    image = msgspec.json.encode(job.image).decode()
    is_complete = len(facts.asked) < MOST_IMAGES
    if not facts.is_recent(facts.image_asked_at(ANY, image)) and is_complete:
        images = facts.images_asked[:_SHOWN_IMAGES]
        text = f"Nobody asks for jobs of the image {job.image}; asked for: {', '.join(images) or 'none'}."
        yield WhyReason(code="no_worker_for_image", text=text, images=images)
    elif not facts.is_recent(facts.image_asked_at(ANY)) and is_complete and (facts.place or 0) >= SIGHT:
        text = f"It is behind the first {SIGHT} jobs, and workers that ask by image look no further."
        yield WhyReason(code="out_of_sight", text=text, n=facts.place or 0, limit=SIGHT)


def _serves(worker: Worker | Announcement, job: Job) -> bool:
    """Whether the worker takes jobs of this group and image. Older workers do not say: then it may."""
    is_of_group = not worker.groups or job.group_name in worker.groups
    return is_of_group and (not worker.images or job.image in worker.images)
