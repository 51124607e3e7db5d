"""Measures the current speed of this machine: the CPU time of a fixed piece of work.

A shared machine is sometimes only half as fast. So a cost in µs can be compared only with such a yardstick of the same
run. The work resembles a request: small system calls on a socket, JSON, dictionaries.
"""

import json
import socket
import statistics
import time

_ROUNDS, _REPEATS = 9, 2_000


def yardstick_us() -> float:
    """CPU time of one repeat of the work, in µs: the median of several rounds, which take 0.2 s together."""
    sender, receiver = socket.socketpair()
    with sender, receiver:
        return statistics.median(_round_us(sender, receiver) for _ in range(_ROUNDS))


def _round_us(sender: socket.socket, receiver: socket.socket) -> float:
    body = {"jobs": [{"image": "noop", "payload": "x" * 100, "timeout": 60, "priority": 1}]}
    began = time.process_time()
    for _ in range(_REPEATS):
        sender.send(json.dumps(body).encode())
        body = json.loads(receiver.recv(4096))
    return (time.process_time() - began) / _REPEATS * 1e6
