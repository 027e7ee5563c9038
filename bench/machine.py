"""What /proc says of the processes below this one, and the file the children write to."""
import ctypes
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = HERE + "/bin/"
CHILD, CHILD_CRASH = BIN + "child", BIN + "child-crash"
SHM = "/dev/shm/supervise-bench"  # as in native/child.c

PR_SET_CHILD_SUBREAPER, PR_SET_TIMERSLACK = 36, 29


LIBC = ctypes.CDLL(None)
USUAL_SLACK = 50_000  # ns by which a sleep may be late


def become_harness():
    """Orphans come to this process, and it wakes from sleep on time."""
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    LIBC.prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)


def leave_harness():
    """Called between fork and exec: what is measured sleeps as everybody does."""
    LIBC.prctl(PR_SET_TIMERSLACK, USUAL_SLACK, 0, 0, 0)


class Records:
    """The children's records: what each wrote when it began."""

    SIZE = 16  # u64 ns of CLOCK_MONOTONIC, u32 pid, u32 id

    def __init__(self):
        os.makedirs(SHM, exist_ok=True)
        self.fd = os.open(SHM + "/rec", os.O_RDWR | os.O_CREAT, 0o666)
        self.reset()

    def reset(self):
        os.ftruncate(self.fd, 0)
        self.offset = self.count = 0
        self.first = {}    # id -> ns of its first life
        self.current = {}  # id -> (ns, pid) of its last life

    def poll(self):
        """Reads what has come since; a list of (ns, pid, id)."""
        whole = (os.fstat(self.fd).st_size - self.offset) // self.SIZE * self.SIZE
        if whole <= 0:
            return []
        data = os.pread(self.fd, whole, self.offset)
        self.offset += len(data)
        new = list(struct.iter_unpack("<QII", data))
        self.count += len(new)
        for ns, pid, i in new:
            self.current[i] = (ns, pid)
            self.first.setdefault(i, ns)
        return new


def read(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return ""


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def descendants():
    """The pids of all living processes below this one."""
    children, dead = {}, set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        stat = read(f"/proc/{entry}/stat")
        if not stat:
            continue
        state, parent = stat[stat.rindex(")") + 2:].split()[:2]
        children.setdefault(int(parent), []).append(int(entry))
        if state == "Z":
            dead.add(int(entry))
    found, todo = [], [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        todo += below
        found += [p for p in below if p not in dead]
    return found


def is_workload(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe") in (CHILD, CHILD_CRASH)
    except OSError:
        return True


def cpu(pids):
    """(CPU ns, context switches) of all threads of these processes."""
    ns = switches = 0
    for pid in pids:
        try:
            tasks = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for task in tasks:
            base = f"/proc/{pid}/task/{task}"
            ns += int((read(base + "/schedstat").split() or ["0"])[0])
            for line in read(base + "/status").splitlines():
                if "voluntary_ctxt" in line:
                    switches += int(line.split()[1])
    return ns, switches


def fields(path):
    """A file of lines NAME: NUMBER …, as {NAME: number}."""
    found = {}
    for line in read(path).splitlines():
        name, _, value = line.partition(":")
        value = value.split()
        if value and value[0].isdigit():
            found[name] = int(value[0])
    return found


def size(pids):
    """Memory, threads and descriptors of these processes together."""
    total = dict(pss_kb=0, private_kb=0, threads=0, fds=0, processes=len(pids))
    for pid in pids:
        memory = fields(f"/proc/{pid}/smaps_rollup")
        total["pss_kb"] += memory.get("Pss", 0)
        total["private_kb"] += memory.get("Pss_Anon", 0)
        total["threads"] += fields(f"/proc/{pid}/status").get("Threads", 0)
        try:
            total["fds"] += len(os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            pass
    return total
