#!/usr/bin/env python3
"""A worker in Python: worker.py NAME. It registers NAME, counts, echoes, and asks others."""

import sys

from channel import Failure, Stop, Worker

worker = Worker("python")
total = 0


@worker.on("echo")
def echo(value):
    return value


@worker.on("add")
def add(n):
    global total
    if not isinstance(n, int):
        raise Failure("not_a_number", data=n)
    total += n
    return total


@worker.on("total")
def total_(_):
    return total


@worker.on("ask")
def ask(q):
    """Calls another worker, and answers with what that answers: {"to","method","value"}."""
    return worker.call(q["to"], q["method"], q.get("value"), timeout=q.get("timeout", 5))


@worker.on("tell")
def tell(q):
    """Casts to another worker."""
    worker.cast(q["to"], q["method"], q.get("value"))


@worker.on("quit")
def quit_(_):
    raise Stop("bye")


@worker.on("crash")
def crash(why):
    raise RuntimeError(why)


worker.run(lambda: worker.register(sys.argv[1]))
