"""One run of one supervisor: started, measured, stopped, and everything of it killed."""
import os
import random
import select
import shutil
import signal
import subprocess
import time

import machine
from machine import CHILD, SHM, cpu, descendants, is_workload, reap

# Children are killed when they are this old: several peers hold back the
# restart of a child that lived for less than a second.
OLD_ENOUGH = 1.6
now = time.monotonic_ns


class Trial:
    def __init__(self, records, system, n, workload=CHILD):
        self.records, self.system, self.n = records, system, n
        self.dir = SHM + "/run"
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        system.write(self.dir, n, workload)
        self.output = open(self.dir + "/harness.out", "ab")
        self.running = []
        self.host_pids = {}
        records.reset()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """No process of the trial survives it."""
        for _ in range(500):
            left = descendants()
            if not left:
                break
            for pid in [p for p in left if not is_workload(p)] or left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.01)
            reap()
        reap()
        self.system.clean()
        self.running.clear()
        self.output.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def spawn(self, argv):
        process = subprocess.Popen(argv, cwd=self.dir, env={**os.environ, **self.system.env}, stdin=subprocess.DEVNULL,
                                   stdout=self.output, stderr=self.output, preexec_fn=machine.leave_harness)
        self.running.append(process)  # or Python would warn that it is forgotten
        return process.pid

    def launch(self):
        self.began = now()
        self.pid = self.spawn(self.system.command(self.dir, self.n))

    def start(self):
        """Boots all children."""
        self.launch()
        end = time.monotonic() + self.system.boot_timeout
        while len(self.records.first) < self.n and time.monotonic() < end:
            self.records.poll()
            reap()
            time.sleep(0.002)
        first = self.records.first.values()
        if len(first) < self.n:
            tail = machine.read(self.dir + "/harness.out")[-400:]
            raise RuntimeError(f"only {len(first)} of {self.n} children came up; {tail}")
        return {"boot_ms": (max(first) - self.began) / 1e6}

    def supervisors(self):
        return self.system.pids() or [p for p in descendants() if not is_workload(p)]

    def host(self, pid):
        """The pid here of a child that told its own, in a namespace perhaps."""
        if not self.system.namespace:
            return pid
        if pid not in self.host_pids:
            for p in descendants():
                if is_workload(p):
                    inner = [line.split()[-1] for line in machine.read(f"/proc/{p}/status").splitlines() if line.startswith("NSpid")]
                    self.host_pids[int(inner[0])] = p
        return self.host_pids[pid]

    def age(self, seconds):
        """Waits until the youngest child is that old."""
        while True:
            self.records.poll()
            reap()
            youngest = max((ns for ns, _ in self.records.current.values()), default=0)
            left = seconds - (now() - youngest) / 1e9
            if left <= 0:
                return
            time.sleep(min(left, 0.1) + 0.001)

    def size(self):
        time.sleep(0.5)
        return machine.size(self.supervisors())

    def idle(self, seconds):
        self.age(1.5)
        pids = self.supervisors()
        cpu0, switches0 = cpu(pids)
        began = now()
        time.sleep(seconds)
        cpu1, switches1 = cpu(pids)
        took = (now() - began) / 1e9
        return {"idle_cpu_percent": (cpu1 - cpu0) / 1e7 / took, "idle_switches": (switches1 - switches0) / took}

    def restart(self, samples, gap=0.008):
        """Kills one child after the other; the times until their successors began."""
        self.age(OLD_ENOUGH)
        pids = self.supervisors()
        cpu0, _ = cpu(pids)
        latencies, pending, sent, turn, due = [], {}, 0, 0, 0.0
        ids = sorted(self.records.current)
        end = time.monotonic() + 3 + samples * 0.07
        while (sent < samples or pending) and time.monotonic() < end:
            i = ids[turn % len(ids)]
            born, pid = self.records.current[i]
            if sent < samples and time.monotonic() >= due and i not in pending and now() - born > OLD_ENOUGH * 1e9:
                turn += 1
                pending[i] = now()
                try:
                    os.kill(self.host(pid), signal.SIGKILL)
                except (ProcessLookupError, KeyError):  # it is on its way out already
                    del pending[i]
                    continue
                sent += 1
                due = time.monotonic() + gap * (0.5 + random.random())
            time.sleep(0.002)
            reap()
            for ns, _, j in self.records.poll():
                if j in pending and ns > pending[j]:
                    latencies.append((ns - pending.pop(j)) / 1e6)
        used = cpu(pids)[0] - cpu0
        return {"restart_ms": latencies, "restart_lost": len(pending), "restart_cpu_us": used / 1e3 / max(1, len(latencies))}

    def mass(self):
        """Kills all children at once; the time until all successors began."""
        self.age(OLD_ENOUGH)
        victims = [self.host(pid) for _, pid in self.records.current.values()]
        wanted, began = set(self.records.current), now()
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        last, end = 0, time.monotonic() + 30
        while wanted and time.monotonic() < end:
            time.sleep(0.003)
            reap()
            for ns, _, i in self.records.poll():
                if ns > began and i in wanted:
                    wanted.discard(i)
                    last = max(last, ns)
        return {"mass_ms": None if wanted else (last - began) / 1e6, "mass_lost": len(wanted)}

    def stop(self):
        """An orderly stop; the time until every process is gone."""
        self.age(1.2)
        children = {self.host(pid) for _, pid in self.records.current.values()}
        epoll, watched = select.epoll(), {}
        for pid in children | set(self.supervisors()):
            fd = os.pidfd_open(pid)
            watched[fd] = pid
            epoll.register(fd, select.EPOLLIN)
        children_gone, began = None, now()
        self.system.stop(self)
        end = time.monotonic() + 40
        while watched and time.monotonic() < end:
            for fd, _ in epoll.poll(0.05, 4096):
                children.discard(watched.pop(fd))
                epoll.unregister(fd)
                os.close(fd)
            if not children and children_gone is None:
                children_gone = (now() - began) / 1e6
                if self.system.outlives_its_children:
                    break
            reap()
        took = (now() - began) / 1e6
        for fd in watched:
            os.close(fd)
        epoll.close()
        if self.system.outlives_its_children and not children:
            watched, took = {}, children_gone
        return {"stop_ms": None if watched else took, "stop_children_ms": children_gone, "stop_left": len(watched)}

    def crash_loop(self, seconds):
        """Children that exit at once: restarts a second."""
        self.launch()
        end = time.monotonic() + 20
        while not self.records.count and time.monotonic() < end:
            self.records.poll()
            time.sleep(0.005)
        pids = self.supervisors()
        count, began, (cpu0, _) = self.records.count, now(), cpu(pids)
        while now() - began < seconds * 1e9:
            time.sleep(0.05)
            self.records.poll()
            reap()
        took = (now() - began) / 1e9
        return {"crash_restarts": (self.records.count - count) / took, "crash_cpu_percent": (cpu(pids)[0] - cpu0) / 1e7 / took}
