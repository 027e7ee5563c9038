"""One class a system: how it is configured, started and stopped."""
import os
import shutil
import signal

import machine
from machine import BIN, HERE


def put(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)


class System:
    """The defaults of all systems. A new one overrides write, command and perhaps stop."""

    name = ""
    level = "none"       # of containment, as supervise names it; what a peer does is in docs/benchmarks.md
    threads = ""         # GOMAXPROCS; "" is no Go program
    limit = False        # not a supervisor, but what the machine can do
    most = 1000000       # children it can have
    boot_timeout = 60
    needs = ""           # the program that must be installed
    namespace = False    # its children see pids of their own
    outlives_its_children = False  # a stop ends the children and not the supervisor

    def __init__(self):
        self.env = {}

    def available(self):
        return shutil.which(self.needs) is not None

    def write(self, d, n, workload):
        self.workload = workload

    def command(self, d, n):
        raise NotImplementedError

    def stop(self, trial):
        os.kill(trial.pid, signal.SIGTERM)

    def pids(self):
        """The supervisor's processes; none: whatever is below us and no child."""
        return []

    def clean(self):
        pass


class CLimit(System):
    name, limit, needs = "C limit", True, BIN + "climit"

    def command(self, d, n):
        return [BIN + "climit", str(n), self.workload]


class GoLimit(System):
    limit, needs = True, BIN + "golimit"

    def __init__(self, name, level="none", threads=""):
        super().__init__()
        self.name, self.level, self.threads = name, level, threads or str(os.cpu_count())
        self.env = {"GOMAXPROCS": self.threads}

    def command(self, d, n):
        flags = ["-protected"] if self.level == "basic" else []
        return [BIN + "golimit", *flags, str(n), self.workload]


class Supervise(System):
    """This project's own binary, by its path: Debian's daemontools has another supervise."""

    threads = str(min(2, os.cpu_count()))  # internal/child/settle.go
    needs = os.environ.get("SUPERVISE_BIN", os.path.dirname(HERE) + "/bin/supervise")

    def __init__(self, name, level="basic", nodes=0):
        super().__init__()
        self.name, self.level, self.nodes = name, level, nodes

    def write(self, d, n, workload):
        lines = [f'containment = "{self.level}"', 'intensity = "infinity"', "[defaults]", 'backoff = { kind = "none" }']

        def worker(table, i):
            lines.extend([f"[[{table}]]", f'name = "s{i}"', f'command = ["{workload}", "{i}"]'])

        for k in range(self.nodes):
            lines.extend(["[[child]]", f'name = "node{k}"', 'strategy = "one_for_one"', 'intensity = "infinity"'])
            for i in range(k, n, self.nodes):
                worker("child.child", i)
        if not self.nodes:
            for i in range(n):
                worker("child", i)
        put(d + "/tree.toml", "\n".join(lines) + "\n")

    def command(self, d, n):
        return [self.needs, "-config", d + "/tree.toml", "-socket", d + "/sock", "-log-level", "error"]


class ServiceDirectories(System):
    """The heirs of daemontools: a directory for each child, with the child itself as ./run."""

    def write(self, d, n, workload):
        for i in range(n):
            service = f"{d}/services/s{i:05d}"
            os.makedirs(service)
            os.symlink(workload, service + "/run")


class Runit(ServiceDirectories):
    name, needs, most = "runit", "runsvdir", 1000  # MAXSERVICES of runsvdir.c

    def command(self, d, n):
        os.utime(d + "/services", (1e9, 1e9))  # runsvdir sleeps a second over a directory that has just changed
        return ["runsvdir", d + "/services"]

    def stop(self, trial):
        os.kill(trial.pid, signal.SIGHUP)


class S6(ServiceDirectories):
    name, needs = "s6", "s6-svscan"

    def command(self, d, n):
        return ["s6-svscan", "-c", str(max(500, 2 * n + 10)), d + "/services"]


class Daemontools(ServiceDirectories):
    name, needs, most = "daemontools", "svscan", 1000  # SERVICES of svscan.c

    def __init__(self):
        super().__init__()
        self.env = {"PATH": "/usr/bin:/bin"}  # svscan runs the supervise that it finds there

    def command(self, d, n):
        return ["svscan", d + "/services"]

    def stop(self, trial):
        os.kill(trial.pid, signal.SIGTERM)
        services = trial.dir + "/services/"
        trial.spawn(["svc", "-dx"] + [services + s for s in os.listdir(services)])


class Supervisord(System):
    name, needs, boot_timeout = "supervisord", "supervisord", 120

    def write(self, d, n, workload):
        text = (f"[supervisord]\nnodaemon=true\nminfds={max(1024, 3 * n + 200)}\nlogfile={d}/log\nlogfile_maxbytes=0\n"
                f"loglevel=warn\npidfile={d}/pid\nchildlogdir={d}\n")
        for i in range(n):
            text += (f"[program:s{i:05d}]\ncommand={workload} {i}\nautorestart=true\nstartsecs=0\n"
                     "stdout_logfile=NONE\nstderr_logfile=NONE\n")
        put(d + "/s.conf", text)

    def command(self, d, n):
        return ["/usr/bin/python3", "/usr/bin/supervisord", "-c", d + "/s.conf"]


class Dinit(System):
    name = "dinit"

    def __init__(self):
        super().__init__()
        own = BIN + "dinit"  # put there by hand where the distribution has no package
        self.needs = own if os.path.exists(own) else "dinit"

    def write(self, d, n, workload):
        boot = "type = internal\n"
        for i in range(n):
            put(f"{d}/services/s{i}", f"type = process\ncommand = {workload} {i}\nrestart = true\nsmooth-recovery = true\n"
                                      "restart-delay = 0\nrestart-limit-count = 0\n")
            boot += f"waits-for = s{i}\n"
        put(d + "/services/boot", boot)

    def command(self, d, n):
        return [self.needs, "--user", "--quiet", "--services-dir", d + "/services", "--socket-path", d + "/sock"]


class Suture(System):
    name, needs, threads = "suture", BIN + "suturebench", str(os.cpu_count())

    def command(self, d, n):
        return [BIN + "suturebench", str(n), self.workload]


class Erlang(System):
    name, needs = "Erlang/OTP", "erl"

    def write(self, d, n, workload):
        self.workload, self.env = workload, {"HOME": d}

    def command(self, d, n):
        return ["erl", "-noshell", "-noinput", "-kernel", "logger_level", "none", "-pa", BIN, "-s", "sup_bench", "start", str(n), self.workload]


class Monit(System):
    """Not the parent of what it watches: it looks once a second."""

    name, needs, most, boot_timeout, outlives_its_children = "monit", "monit", 100, 120, True

    def write(self, d, n, workload):
        text = (f"set daemon 1\nset pidfile {d}/monit.pid\nset idfile {d}/id\nset statefile {d}/state\n"
                f"set httpd unixsocket {d}/sock allow admin:monit\n")
        os.makedirs(d + "/pids")
        for i in range(n):
            text += (f'check process s{i} with pidfile {d}/pids/{i}\n start program = "{workload} {i} daemon {d}/pids/{i}"\n'
                     f""" stop program = "/bin/sh -c 'kill `cat {d}/pids/{i}`'"\n""")
        put(d + "/monitrc", text, 0o600)

    def command(self, d, n):
        return ["monit", "-I", "-c", d + "/monitrc"]

    def stop(self, trial):
        trial.spawn(["monit", "-c", trial.dir + "/monitrc", "stop", "all"])


class Systemd(System):
    """A private systemd, PID 1 of namespaces of its own, without journald and udevd."""

    name, level, namespace, outlives_its_children = "systemd", "cgroup", True, True
    INIT = "/lib/systemd/systemd"

    def __init__(self):
        super().__init__()
        mounts = [line.split() for line in machine.read("/proc/self/mountinfo").splitlines() if " - cgroup2 " in line]
        self.cgroup = mounts[0][4] + "/supervise-bench" if mounts else ""

    def available(self):
        return os.path.exists(self.INIT) and self.cgroup != "" and os.geteuid() == 0

    def write(self, d, n, workload):
        unit = "[Unit]\nDefaultDependencies=no\n"
        os.makedirs(d + "/units/bench.target.wants")
        for i in range(n):
            put(f"{d}/units/s{i}.service", f"{unit}StartLimitIntervalSec=0\nPartOf=bench.target\n"
                                           f"[Service]\nExecStart={workload} {i}\nRestart=always\nRestartSec=0\nStandardOutput=null\n")
            os.symlink(f"../s{i}.service", f"{d}/units/bench.target.wants/s{i}.service")
        put(d + "/units/bench.target", unit)

    def command(self, d, n):
        return [HERE + "/systemd/outer.sh", d, self.cgroup]

    def pids(self):
        return [p for p in machine.descendants() if machine.read(f"/proc/{p}/comm").strip() == "systemd"]

    def stop(self, trial):
        trial.spawn(["nsenter", "-t", str(self.pids()[0]), "-m", "-p", "systemctl", "stop", "bench.target"])

    def clean(self):
        for top, _, _ in os.walk(self.cgroup, topdown=False):
            try:
                os.rmdir(top)
            except OSError:
                pass


def systems():
    """All systems, by name, in the order of the tables."""
    every = [
        CLimit(), GoLimit("Go limit"), GoLimit("Go limit, protected", "basic"), GoLimit("Go limit, protected, one thread", "basic", "1"),
        Supervise("supervise"), Supervise("supervise, cgroup", "cgroup"), Supervise("supervise, 4 nodes", nodes=4),
        Supervise("supervise, 10 nodes", nodes=10),
        Dinit(), Runit(), S6(), Daemontools(), Supervisord(), Suture(), Erlang(), Systemd(), Monit(),
    ]
    return {s.name: s for s in every}
