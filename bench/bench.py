#!/usr/bin/env python3
"""Benchmarks of supervise against the limits of the machine and against other supervisors.

    bench.py [--rounds R] [--systems NAME,…] [SET…]     measure, and print tables
    bench.py --list                                     the sets and the systems
    bench.py --report FILE…                             print the tables of earlier runs

Each set starts one system at a time, measures it and stops it. Ratios are of figures of the same round of the same
run: the speed of a shared machine drifts by a factor of two within minutes. Linux; as root, systemd is measured too.
"""
import argparse
import fcntl
import json
import os
import resource
import signal
import sys
import time

import machine
import report
from adapters import systems
from machine import CHILD, CHILD_CRASH, HERE, SHM
from trial import Trial

LIMITS = ["C limit", "Go limit", "Go limit, protected", "Go limit, protected, one thread"]
OURS = ["supervise", "supervise, cgroup", "supervise, 4 nodes"]
PEERS = ["dinit", "runit", "s6", "daemontools", "supervisord", "suture", "Erlang/OTP", "systemd"]


class Set:
    """What is measured of whom, with how many children."""

    def __init__(self, about, n, measures, names, workload=CHILD):
        self.about, self.n, self.measures, self.names, self.workload = about, n, measures, names, workload


SETS = {
    "restart": Set("a lone crash among 100 children", 100, ["restart"], LIMITS + OURS[:2] + PEERS + ["monit"]),
    "thousand": Set("1,000 children: boot, size, idleness, all killed at once, stop", 1000, ["size", "idle", "mass", "stop"], LIMITS + OURS + PEERS),
    "crash": Set("10 children that exit at once", 10, ["crash"], LIMITS + OURS[:2] + PEERS, CHILD_CRASH),
    "nested": Set("what a further nested supervisor takes", 10, ["size"], ["supervise", "supervise, 10 nodes"]),
    "many": Set("10,000 children under ten supervisors", 10000, ["size", "idle", "stop"], LIMITS[:2] + ["supervise, 10 nodes"]),
}


def measure(records, system, s, options):
    result = {}
    with Trial(records, system, s.n, s.workload) as trial:
        if "crash" in s.measures:
            return trial.crash_loop(options.seconds)
        result.update(trial.start())
        if "size" in s.measures:
            result.update(trial.size())
        if "idle" in s.measures:
            result.update(trial.idle(options.seconds))
        if "restart" in s.measures:
            result.update(trial.restart(options.samples))
        if "mass" in s.measures:
            result.update(trial.mass())
        if "stop" in s.measures:
            result.update(trial.stop())
    return result


def run(options, out):
    known, results = systems(), []
    records = machine.Records()
    chosen = [name.strip() for name in options.systems.split(";")] if options.systems else None
    for turn in range(options.rounds):
        for set_name in options.sets or SETS:
            s = SETS[set_name]
            for name in chosen or s.names:
                system = known[name]
                if not system.available() or s.n > system.most:
                    continue
                result = {"set": set_name, "round": turn, "run": options.run, "system": name, "n": s.n}
                try:
                    result.update(measure(records, system, s, options))
                except (OSError, RuntimeError, KeyError) as error:
                    result["error"] = f"{type(error).__name__}: {error}"
                results.append(result)
                out.write(json.dumps(result) + "\n")
                out.flush()
                print(f"round {turn + 1}, {set_name}: {name}{': ' + result['error'] if 'error' in result else ''}", file=sys.stderr, flush=True)
    return results


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("sets", nargs="*", metavar="SET", help="of " + ", ".join(SETS) + "; all of them")
    p.add_argument("--rounds", type=int, default=3, help="how often all of it, interleaved (3)")
    p.add_argument("--systems", help="only these, with ; between the names")
    p.add_argument("--samples", type=int, default=100, help="kills in a restart trial (100)")
    p.add_argument("--seconds", type=float, default=3, help="length of an idle or a crash-loop trial (3)")
    p.add_argument("--out", default=HERE + "/results/run.jsonl", help="where one line a trial is added")
    p.add_argument("--list", action="store_true")
    p.add_argument("--report", action="store_true", help="the arguments are files")
    options = p.parse_args()
    unknown = [] if options.report else [s for s in options.sets if s not in SETS]
    unknown += [name.strip() for name in (options.systems or "").split(";") if name.strip() not in systems() and name]
    if unknown:
        p.error(f"there is no {', '.join(unknown)}: see --list")
    options.run = int(time.time())
    return options


def main():
    options = arguments()
    if options.list:
        for name, s in SETS.items():
            print(f"{name:10} {s.about}")
        print()
        for name, system in systems().items():
            print(f"{name:34} {'' if system.available() else 'not installed'}")
        return
    if options.report:
        results = [json.loads(line) for file in options.sets for line in open(file)]
        print(report.tables(results, systems()))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the trial kills what it started
    machine.become_harness()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.makedirs(SHM, exist_ok=True)
    os.makedirs(os.path.dirname(options.out) or ".", exist_ok=True)
    with open(SHM + "/lock", "w") as lock, open(options.out, "a") as out:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two at once would measure each other
        results = run(options, out)
    print(report.tables(results, systems()))


if __name__ == "__main__":
    main()
