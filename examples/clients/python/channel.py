"""A worker of supervise in Python: calls, casts and errors over the channel, in frames or in lines.

The page that it is written from is docs/protocol.md. Handlers run one after the other in the main thread, as those of a
gen_server do; one thread reads and one writes, so that reading waits for nothing.
"""

import fcntl
import itertools
import os
import queue
import signal
import stat
import sys
import threading
import time
import traceback

import wire
from wire import CALL, CANCEL, CAST, ERROR, JSON_CODEC, REPLY, Message, pack

ROOT = 1 << 32  # the address @1.0
MAILBOX_MARK = 16 << 20  # bytes that wait for their handlers before senders are asked to hold back
ITEM = 256  # bytes that a message counts beside its payload
MAILBOX_CAP = 4 * MAILBOX_MARK  # and before casts are dropped and calls get busy
OUT_CASTS = 4 << 20  # bytes that wait to be written before a cast waits
READ_SIZE = 64 << 10


class Failure(Exception):
    """Raised by a handler: an error that goes to the caller, a word, a sentence and data."""

    def __init__(self, code: str, message: str = "", data=None):
        super().__init__(message or code)
        self.code, self.message, self.data = code, message or code, data


class CallFailed(Exception):
    """A call of ours failed. From a handler it goes to the caller as an error: its word was about somebody else."""

    def __init__(self, method: str, code: str, message: str = "", data=None):
        super().__init__(f"call {method}: {code}" + (f": {message}" if message not in ("", code) else ""))
        self.code, self.message, self.data = code, message, data


class Ignore(Exception):
    """Raised by init: the worker is not to run, and that is well."""


class Stop(Exception):
    """Raised by a handler that wants the worker to end normally, after its answer."""

    def __init__(self, answer=None):
        super().__init__("stop")
        self.answer = answer


class Worker:
    """One life. Give it a handler for each method, which serves calls and casts alike, then run it."""

    def __init__(self, client: str):
        self.client = client
        self.hello = {}  # the node's greeting
        self.greeted = threading.Event()  # it has come, or the end of the pipe
        self.methods = {}
        self.mailbox = queue.SimpleQueue()  # of messages; a string orders the end, for that reason
        self.waiting = 0  # bytes in it
        self.busy = False
        self.lock = threading.Lock()  # guards what follows
        self.ids = itertools.count(1)
        self.open: dict[int, queue.SimpleQueue] = {}
        self.cancelled: set = set()  # calls in the mailbox that nobody waits for any more
        self.queued: dict = {}  # ids of the calls in the mailbox
        self.room = threading.Condition(self.lock)
        self.out = bytearray()
        self.closing = False

    # What a worker's author uses.

    def on(self, method: str):
        return lambda f: self.methods.setdefault(method, f)

    def call(self, to: str | int, method: str, value=None, timeout: float | None = 5.0, about: bool = False):
        """Calls a name, a path or an address, and returns the answer. No timeout: no limit."""
        m = Message(CALL, method=method, about=about, left=round((timeout or 0) * 1e6))
        answer = queue.SimpleQueue()
        with self.lock:
            self.room.wait_for(lambda: len(self.open) < self.hello["window"])
            m.id = next(self.ids)
            self.open[m.id] = answer
        try:
            self.send(self.aim(m, to, value))
            got = answer.get(timeout=timeout)
        except queue.Empty:
            self.send(Message(CANCEL, m.id))
            raise CallFailed(method, "timeout", f"no answer within {timeout} s") from None
        finally:
            with self.lock:
                self.open.pop(m.id, None)
                self.room.notify_all()
        if got.refused:
            raise CallFailed(method, got.refused)
        if got.type == ERROR:
            e = got.value()
            raise CallFailed(method, e.get("code", "error"), e.get("message", ""), e.get("data"))
        return got.value()

    def cast(self, to: str | int, method: str, value=None):
        """Casts. It waits while much is still to be written."""
        with self.lock:
            self.room.wait_for(lambda: len(self.out) < OUT_CASTS)
        self.send(self.aim(Message(CAST, method=method), to, value))

    def register(self, name: str):
        self.call(ROOT, "$register", {"name": name})

    def run(self, init=lambda: None, terminate=lambda reason: None):
        """Lives. It does not return."""
        self.attach()
        sys.exit(self.live(init, terminate))

    # What it is made of.

    def aim(self, m: Message, to: str | int, value) -> Message:
        m.dst, m.to = (to, "") if isinstance(to, int) else (0, to)
        m.payload = pack(value)
        m.codec = JSON_CODEC if m.payload else wire.NO_CODEC
        return m

    def attach(self):
        """Takes the channel over, and answers the greeting in the mode that it has."""
        try:
            self.r, self.w = (int(n) for n in os.environ.pop("SUPERVISE_CHANNEL").split(","))
            for fd, way in (self.r, os.O_RDONLY), (self.w, os.O_WRONLY):
                if not stat.S_ISFIFO(os.fstat(fd).st_mode) or fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != way:
                    raise ValueError(f"descriptor {fd} is no pipe of that direction")
                os.set_inheritable(fd, False)
        except (KeyError, ValueError, OSError) as e:
            sys.exit(f"{self.client}: not supervised: {e}")
        self.mind_term()
        data = os.read(self.r, READ_SIZE)
        if not data:
            sys.exit(f"{self.client}: the supervisor is gone")
        lines = data[:1] == b"{"
        self.reader, self.write_out = (wire.LineReader(), wire.line) if lines else (wire.FrameReader(), wire.frames)
        threading.Thread(target=self.read, args=(data,), daemon=True).start()
        self.writer = threading.Thread(target=self.write, daemon=True)
        self.writer.start()
        self.greeted.wait()

    def mind_term(self):
        """Makes TERM an order to stop. A handler alone would not wake a main thread that is about to wait; a pipe does."""
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: None)

        def wait():
            while signal.SIGTERM not in os.read(woken, READ_SIZE):
                pass
            self.mailbox.put("shutdown")

        threading.Thread(target=wait, daemon=True).start()

    def live(self, init, terminate) -> int:
        if not self.hello:
            return 1
        if 1 not in self.hello["protocol"]:
            self.say("$hello", {"protocol": 0})
            return self.close(1)
        self.say("$hello", {"protocol": 1, "client": self.client, "pid": os.getpid()})
        try:
            init()
        except Ignore:
            self.say("$ignore")
            return self.close(0)
        except Exception as e:
            self.say("$failed", {"reason": str(e), "stack": traceback.format_exc()})
            return self.close(1)
        self.say("$ready", {"methods": sorted(self.methods)})
        try:
            reason = self.serve()
            terminate(reason)
        except Exception as e:  # let it crash: the supervisor knows what to do
            traceback.print_exc()
            self.say("$exiting", {"reason": "abnormal", "detail": repr(e), "stack": traceback.format_exc()})
            return self.close(1)
        self.say("$exiting", {"reason": reason})
        return self.close(0)

    def close(self, status: int) -> int:
        with self.lock:
            self.closing = True
            self.room.notify_all()
        self.writer.join()
        return status

    # The mailbox.

    def serve(self) -> str:
        """Handles messages until the worker is to end, and returns the reason."""
        while True:
            m = self.mailbox.get()
            if isinstance(m, str):
                return m
            m, by = m
            self.count(-len(m.payload) - ITEM)
            with self.lock:
                self.queued.pop(m.id, None)
                gone = m.id in self.cancelled and m.type == CALL
                self.cancelled.discard(m.id)
            if gone:
                continue
            if by and by < time.monotonic():
                self.fail(m, Failure("timeout", "its time was over before its turn came"))
                continue
            try:
                self.handle(m)
            except Stop as stop:
                self.answer(m, stop.answer)
                return "normal"

    def handle(self, m: Message):
        if m.method == "$ping" and m.type == CALL:
            return self.answer(m, None)
        handler = self.methods.get(m.method)
        try:
            if not handler:
                raise Failure("no_method", f"no method {m.method}")
            if m.codec not in (wire.NO_CODEC, JSON_CODEC):
                raise Failure("bad_request", "the payload is not JSON")
            self.answer(m, handler(self.read_value(m)))
        except Failure as e:
            self.fail(m, e)
        except CallFailed as e:
            self.fail(m, Failure("error", str(e), e.data))

    def read_value(self, m: Message):
        try:
            return m.value()
        except ValueError as e:
            raise Failure("bad_request", f"the payload cannot be read: {e}") from e

    def answer(self, m: Message, value):
        if m.type != CALL:
            return
        reply = Message(REPLY, m.id, payload=pack(value))
        reply.codec = JSON_CODEC if reply.payload else wire.NO_CODEC
        if len(reply.payload) > self.hello["max_message"]:
            return self.fail(m, Failure("too_large", f"an answer of {len(reply.payload)} bytes"))
        self.send(reply)

    def fail(self, m: Message, e: Failure):
        if m.type == CAST:
            print(f"{self.client}: the cast {m.method}: {e.code}: {e.message}", file=sys.stderr, flush=True)
        else:
            body = {"code": e.code, "message": e.message}
            if e.data is not None:
                body["data"] = e.data
            self.send(Message(ERROR, m.id, codec=JSON_CODEC, payload=pack(body)))

    # The pipes.

    def say(self, method: str, value=None):
        """Casts to the node."""
        self.send(self.aim(Message(CAST, method=method), "", value))

    def send(self, m: Message):
        with self.lock:
            if m.type == CAST:
                m.id = next(self.ids)
            self.out += self.write_out(m)
            self.room.notify_all()

    def write(self):
        while True:
            with self.lock:
                self.room.wait_for(lambda: self.out or self.closing)
                data, self.out = self.out, bytearray()
                self.room.notify_all()
            if not data:
                return
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(self.w, view):]
            except BrokenPipeError:
                return  # the reader finds the end, too

    def read(self, data: bytes):
        try:
            while data:
                for m in self.reader.feed(data):
                    self.take(m)
                data = os.read(self.r, READ_SIZE)
        except wire.Malformed as e:
            print(f"{self.client}: reading the channel: {e}", file=sys.stderr, flush=True)
            os._exit(1)
        self.mailbox.put("shutdown")  # the end of the pipe is the supervisor's end
        self.greeted.set()

    def take(self, m: Message):
        """What the reader does with a message: nothing that takes time."""
        if not self.hello:
            if m.method != "$hello":
                raise wire.Malformed("a first frame that is no $hello")
            self.hello = m.value()
            self.reader.limit, self.reader.window = self.hello["max_message"], self.hello["window"]
            self.greeted.set()
        elif m.type in (REPLY, ERROR):
            with self.lock:
                waiter = self.open.get(m.id)
            if waiter:
                waiter.put(m)
        elif m.type == CANCEL:
            with self.lock:
                if m.id in self.queued:
                    self.cancelled.add(m.id)
        elif m.refused:
            self.fail(m, Failure(m.refused))
        elif m.method.startswith("$"):
            self.verb(m)
        elif self.waiting > MAILBOX_CAP:
            self.fail(m, Failure("busy", "the mailbox is full"))
        else:
            self.enqueue(m)

    def verb(self, m: Message):
        """The protocol's own methods. Casts that are not known are ignored."""
        if m.method == "$stop" and m.type == CAST:
            self.mailbox.put((m.value() or {}).get("reason", "shutdown"))
        elif m.type != CALL:
            pass
        elif m.method == "$ping" and (m.value() or {}).get("mailbox"):
            self.enqueue(m)
        elif m.method == "$ping":
            self.answer(m, None)
        elif m.method == "$methods":
            self.answer(m, sorted(self.methods))
        else:
            self.fail(m, Failure("no_method", f"no method {m.method}"))

    def enqueue(self, m: Message):
        self.count(len(m.payload) + ITEM)
        if m.type == CALL:
            with self.lock:
                self.queued[m.id] = True
        self.mailbox.put((m, time.monotonic() + m.left / 1e6 if m.left else 0))

    def count(self, bytes_more: int):
        """Counts what waits in the mailbox, and asks senders to hold back, or to go on."""
        with self.lock:
            self.waiting += bytes_more
            busy = self.waiting > (MAILBOX_MARK // 2 if self.busy else MAILBOX_MARK)
            changed, self.busy = busy != self.busy, busy
        if changed:
            self.say("$flow", {"busy": busy})
