"""The messages of supervise's channel, protocol 1, in both modes: docs/protocol.md, sections 1 and 2."""

import json
import struct
from dataclasses import dataclass, field, replace

CALL, CAST, REPLY, ERROR, CANCEL = range(1, 6)
NO_CODEC, JSON_CODEC = 0, 1
CODEC_MASK, MORE, ABOUT, RESERVED = 0x0F, 0x10, 0x20, 0xC0
METHOD, TO, LEFT, TRACEPARENT, TRACESTATE, TOTAL = range(1, 7)
KNOWN_SIZES = {LEFT: 8, TRACEPARENT: 25, TOTAL: 8}

HEADER = struct.Struct(">IBBHQQQ")
AFTER_LENGTH = HEADER.size - 4
MAX_EXT, MAX_PAYLOAD = 4096, 65536
LINE_SLACK = 4096  # a line may be that much longer than a message
HELD_MESSAGES = 4  # so many of the longest may wait in pieces

NUMBERS = {
    "no_method": -32601, "bad_request": -32602, "noproc": -32001, "down": -32002, "busy": -32003, "too_large": -32004,
    "already_registered": -32005, "calling_self": -32006, "not_permitted": -32007, "canceled": -32800,
}
WORDS = {number: word for word, number in NUMBERS.items()}


class Malformed(Exception):
    """What came is no frame, or no line."""


@dataclass
class Message:
    """One message, whole. The payload is JSON text unless the codec says otherwise; b"" is none."""

    type: int
    id: int | str = 0
    method: str = ""
    to: str = ""
    dst: int = 0
    src: int = 0
    about: bool = False
    left: int = 0  # µs; 0: no limit
    traceparent: bytes = b""
    tracestate: bytes = b""
    codec: int = NO_CODEC
    payload: bytes = b""
    total: int | None = field(default=None, compare=False)  # as the first piece said
    refused: str = ""  # the error that a call is to be answered with, instead of being handled

    def value(self):
        """The payload, read; None if there is none."""
        return json.loads(self.payload) if self.payload else None


def pack(value) -> bytes:
    """A value as JSON text, without spaces; None is no payload."""
    return b"" if value is None else json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def address(text: str) -> int:
    """Reads @3.17."""
    node, dot, serial = text[1:].partition(".")
    if text[:1] != "@" or not dot or not node.isdecimal() or not serial.isdecimal():
        raise Malformed(f"{text!r} is no address")
    return int(node) << 32 | int(serial)


def address_text(a: int) -> str:
    return f"@{a >> 32}.{a & 0xFFFFFFFF}"


# Frames.


def frames(m: Message) -> bytes:
    """All frames of a message, one after the other."""
    fields = [(METHOD, m.method.encode()), (TO, m.to.encode())]
    fields.append((LEFT, struct.pack(">Q", m.left) if m.left else b""))
    fields += [(TRACEPARENT, m.traceparent), (TRACESTATE, m.tracestate)]
    if len(m.payload) > MAX_PAYLOAD:
        fields.append((TOTAL, struct.pack(">Q", len(m.payload))))
    ext = b"".join(struct.pack(">BH", tag, len(value)) + value for tag, value in fields if value)
    out, rest = [], m.payload
    while True:
        piece, rest = rest[:MAX_PAYLOAD], rest[MAX_PAYLOAD:]
        flags = m.codec | (ABOUT if m.about else 0) | (MORE if rest else 0)
        length = AFTER_LENGTH + len(ext) + len(piece)
        out += [HEADER.pack(length, m.type, flags, len(ext), m.id, m.dst, m.src), ext, piece]
        if not rest:
            return b"".join(out)
        ext = b""


def read_fields(m: Message, ext: bytes) -> None:
    last = 0
    while ext:
        if len(ext) < 3:
            raise Malformed("fields past the end")
        tag, size = struct.unpack_from(">BH", ext)
        value, ext = ext[3:3 + size], ext[3 + size:]
        if len(value) < size or tag <= last or len(value) != KNOWN_SIZES.get(tag, len(value)):
            raise Malformed("fields past the end, out of order or of a wrong size")
        last = tag
        if tag == METHOD:
            m.method = value.decode(errors="surrogateescape")
        elif tag == TO:
            m.to = value.decode(errors="surrogateescape")
        elif tag == LEFT:
            m.left = int.from_bytes(value)
        elif tag == TRACEPARENT:
            m.traceparent = value
        elif tag == TRACESTATE:
            m.tracestate = value
        elif tag == TOTAL:
            m.total = int.from_bytes(value)
        elif tag >= 0x80:
            m.refused = "bad_request"


class FrameReader:
    """Makes messages of what comes out of the pipe in binary mode, pieces put together."""

    def __init__(self):
        self.limit = 1 << 20  # max_message
        self.window = 1024
        self.tail = b""
        self.open: dict[tuple[int, int], tuple[Message, bytearray]] = {}

    def feed(self, data: bytes):
        data = self.tail + data
        at = 0
        while len(data) - at >= 4:
            (length,) = struct.unpack_from(">I", data, at)
            if not AFTER_LENGTH <= length <= AFTER_LENGTH + MAX_EXT + MAX_PAYLOAD:
                raise Malformed(f"a frame of {length} bytes")
            if len(data) - at < 4 + length:
                break
            m = self.frame(data[at:at + 4 + length])
            at += 4 + length
            if m:
                yield m
        self.tail = data[at:]

    def frame(self, b: bytes) -> Message | None:
        _, kind, flags, ext, number, dst, src = HEADER.unpack_from(b)
        end = HEADER.size + ext
        if not CALL <= kind <= CANCEL or flags & RESERVED or ext > MAX_EXT or end > len(b) or len(b) - end > MAX_PAYLOAD:
            raise Malformed("an unknown type, unknown flags, or fields past the end")
        m = Message(kind, number, dst=dst, src=src, codec=flags & CODEC_MASK, about=bool(flags & ABOUT))
        read_fields(m, b[HEADER.size:end])
        return self.piece(m, b[end:], bool(flags & MORE))

    def piece(self, m: Message, payload: bytes, more: bool) -> Message | None:
        if m.type == CANCEL:
            self.open.pop((CALL, m.id), None)
            self.open.pop((CAST, m.id), None)
        elif m.type == ERROR:
            self.open.pop((REPLY, m.id), None)  # it takes the place of the rest
        key = (m.type, m.id)
        first, held = self.open.get(key, (m, bytearray()))
        if first is m and m.type in (CALL, CAST) and not m.method:
            raise Malformed("a call or a cast without a method, or a piece without a first")
        self.hold(first, held, payload)
        if more:
            self.open[key] = first, held
            if len(self.open) > self.window:
                raise Malformed("too many messages in unfinished pieces")
            return None
        self.open.pop(key, None)
        if not first.refused and first.total is not None and first.total != len(held):
            first.refused = "bad_request"
        return replace(first, payload=bytes(held))

    def hold(self, first: Message, held: bytearray, payload: bytes) -> None:
        if not first.refused:
            held += payload
            if len(held) > self.limit:
                first.refused = "too_large"
            elif len(held) > MAX_PAYLOAD and sum(len(h) for _, h in self.open.values()) > HELD_MESSAGES * self.limit:
                first.refused = "busy"
        if first.refused:
            held.clear()


# Lines.


def line(m: Message) -> bytes:
    """A message as a line, with its newline."""
    parts = [b'"jsonrpc":"2.0"']

    def put(member: str, text: bytes) -> None:
        parts.append(f'"{member}":'.encode() + text)

    if m.type == CANCEL:
        put("method", b'"$cancel"')
        put("params", b'{"id":' + pack(m.id) + b"}")
        return b"{" + b",".join(parts) + b"}\n"
    if m.type != CAST:
        put("id", pack(m.id))
    if m.method:
        put("method", pack(m.method))
    if m.to or m.dst:
        put("to", pack(m.to or address_text(m.dst)))
    if m.src:
        put("from", pack(address_text(m.src)))
    if m.about:
        put("about", b"true")
    if m.left:
        put("timeout", b"%d" % (m.left // 1_000_000) if m.left % 1_000_000 == 0 else pack(m.left / 1e6))
    if m.traceparent:
        h = m.traceparent.hex()
        put("traceparent", pack(f"00-{h[:32]}-{h[32:48]}-{h[48:]}"))
    if m.type == REPLY:
        put("result", m.payload or b"null")
    elif m.type == ERROR:
        put("error", line_error(m.value()))
    elif m.payload:
        put("params", m.payload if m.payload.startswith(b"{") else b"[" + m.payload + b"]")
    return b"{" + b",".join(parts) + b"}\n"


def line_error(e: dict) -> bytes:
    data = {"code": e["code"]}
    if "data" in e:
        data["data"] = e["data"]
    return pack({"code": NUMBERS.get(e["code"], 1), "message": e.get("message", ""), "data": data})


def read_line(text: bytes) -> Message:
    """Reads a line."""
    try:
        o = json.loads(text)
        if not isinstance(o, dict):
            raise Malformed("a line that is no JSON object")
        return line_message(o)
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise Malformed(f"a line that is no message: {e!r}") from e


def line_message(o: dict) -> Message:
    params = o.get("params")
    if o.get("method") == "$cancel":
        return Message(CANCEL, params["id"])
    m = Message(CAST, o.get("id", 0), o.get("method", ""))
    if m.method:
        m.type = CALL if "id" in o else CAST
        value = params[0] if isinstance(params, list) and len(params) == 1 else params
    else:
        m.type = ERROR if "error" in o else REPLY
        value = frame_error(o["error"]) if "error" in o else o.get("result")
    m.payload = pack(value)
    m.codec = JSON_CODEC if m.payload else NO_CODEC
    m.to, m.about, m.left = o.get("to", ""), o.get("about", False), round(o.get("timeout", 0) * 1e6)
    if m.to.startswith("@"):
        m.dst, m.to = address(m.to), ""
    if "from" in o:
        m.src = address(o["from"])
    if "traceparent" in o:
        m.traceparent = bytes.fromhex(o["traceparent"][3:].replace("-", ""))
    return m


def frame_error(e: dict) -> dict:
    data = e.get("data") or {}
    out = {"code": data.get("code") or WORDS.get(e.get("code"), "error"), "message": e.get("message", "")}
    if "data" in data:
        out["data"] = data["data"]
    return out


class LineReader:
    """Makes messages of what comes out of the pipe in line mode."""

    def __init__(self):
        self.limit = 1 << 20  # max_message
        self.window = 1024
        self.tail = b""

    def feed(self, data: bytes):
        *whole, self.tail = (self.tail + data).split(b"\n")
        for text in whole:
            if text.strip():
                yield read_line(text)
        if len(self.tail) > self.limit + LINE_SLACK:
            raise Malformed(f"a line of more than {self.limit + LINE_SLACK} bytes")
