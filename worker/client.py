"""A client for the whole HTTP API: one method a verb, bodies as the structs of broker.models.

Every method raises the class of titan.errors that the error body names, or BrokerUnavailable without an answer.
No request is sent twice: only the caller knows what is safe to repeat. The client for people's programs is `titan`.
"""

from worker.api.batches import BatchCalls
from worker.api.delivery import DeliveryCalls
from worker.api.groups import GroupCalls
from worker.api.jobs import JobCalls
from worker.api.logs import LogCalls
from worker.api.operators import OperatorCalls
from worker.api.schedules import ScheduleCalls


class Client(JobCalls, BatchCalls, DeliveryCalls, LogCalls, GroupCalls, ScheduleCalls, OperatorCalls):
    """The API of a broker: `async with Client(url) as client`. With several addresses, it uses the next when one fails.

    `timeout_s` limits each call as a whole. A long poll has `wait_s` in addition. The transfer of a log may take any
    time, but may not pause for `timeout_s`.
    """
