"""Load through a proxy, in which each call is sent once and each result is counted."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiohttp

PRODUCERS, CONSUMERS, READERS = 4, 4, 2
GROUP = "mail"
PAUSE_S = 0.005


class Load:
    """Producers, consumers and readers of lists. Half of them keep their connection, the others open one for each call.

    `results` counts the status of each call, and the error of each that had none.
    """

    def __init__(self, url: str) -> None:
        self._url = f"{url}/v1"
        self._is_over = False
        self.results: Counter[str] = Counter()
        self.enqueued: set[str] = set()
        self.finished: Counter[str] = Counter()

    @property
    def faults(self) -> dict[str, int]:
        """The results that a client must not see."""
        return {what: n for what, n in self.results.items() if not what.endswith((" 200", " 201", " 204"))}

    async def beside(self, work: Callable[[], None]) -> None:
        """Run the load while `work` runs in a thread; then take all jobs that are left."""
        roles = [self._produce] * PRODUCERS + [self._consume] * CONSUMERS + [self._read] * READERS
        async with asyncio.TaskGroup() as clients:
            for number, role in enumerate(roles):
                clients.create_task(self._client(role, keeps=number % 2 == 0))
            await asyncio.to_thread(work)
            self._is_over = True
        async with aiohttp.ClientSession() as session:
            while await self._consume(session):
                pass

    async def _client(self, role: Callable[[aiohttp.ClientSession], Any], *, keeps: bool) -> None:
        connector = aiohttp.TCPConnector(force_close=not keeps)
        async with aiohttp.ClientSession(connector=connector, middlewares=(_once,)) as session:
            while not self._is_over:
                await role(session)
                await asyncio.sleep(PAUSE_S)  # the rate of the load

    async def _produce(self, session: aiohttp.ClientSession) -> None:
        answer = await self._call(session, "POST", f"/groups/{GROUP}/jobs", {"jobs": [{"image": "x"}]})
        self.enqueued.update(job["id"] for job in (answer or {}).get("jobs", ()))

    async def _consume(self, session: aiohttp.ClientSession) -> bool:
        """Take and finish a job, with its log; whether one was there."""
        answer = await self._call(session, "GET", "/jobs?wait=1")
        for job in (answer or {}).get("jobs", ()):
            path, lease = f"/groups/{GROUP}/jobs/{job['id']}", {"lease": job["lease"]}
            await self._call(session, "POST", f"{path}/touch", lease)
            await self._call(session, "POST", f"{path}/log", "a line\n" * 1000)
            if await self._call(session, "POST", f"{path}/success", lease) is not None:
                self.finished[job["id"]] += 1
        return bool((answer or {}).get("jobs"))

    async def _read(self, session: aiohttp.ClientSession) -> None:
        await self._call(session, "GET", f"/groups/{GROUP}/jobs?n=5")

    async def _call(self, session: aiohttp.ClientSession, method: str, path: str, body: Any = None) -> Any:
        """The body of the answer; None when the call failed."""
        what = f"{method} {path.rpartition('/')[2].partition('?')[0]}"
        content = {"data": body} if isinstance(body, str) else {"json": body}
        headers = {"Content-Type": "text/plain"} if isinstance(body, str) else {}
        try:
            async with session.request(method, self._url + path, headers=headers, **content) as answer:
                self.results[f"{what} {answer.status}"] += 1
                if answer.status >= 300:
                    return None
                return await answer.json() if answer.status != 204 else {}
        except (aiohttp.ClientError, _Broken, TimeoutError) as error:
            self.results[f"{what} {error!r} {error.__cause__!r}"] += 1
            return None


class _Broken(Exception):
    """A connection that ended before the response; aiohttp would send the request again."""


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Broken from error
