// The messages of supervise's channel, protocol 1, in both modes: docs/protocol.md, sections 1 and 2.
'use strict';

const CALL = 1, CAST = 2, REPLY = 3, ERROR = 4, CANCEL = 5;
const NO_CODEC = 0, JSON_CODEC = 1;
const CODEC_MASK = 0x0f, MORE = 0x10, ABOUT = 0x20, RESERVED = 0xc0;
const METHOD = 1, TO = 2, LEFT = 3, TRACEPARENT = 4, TRACESTATE = 5, TOTAL = 6;
const KNOWN_SIZES = { [LEFT]: 8, [TRACEPARENT]: 25, [TOTAL]: 8 };

const HEADER = 32, AFTER_LENGTH = 28;
const MAX_EXT = 4096, MAX_PAYLOAD = 65536;
const LINE_SLACK = 4096; // a line may be that much longer than a message
const HELD_MESSAGES = 4; // so many of the longest may wait in pieces
const NONE = Buffer.alloc(0);

const NUMBERS = {
  no_method: -32601, bad_request: -32602, noproc: -32001, down: -32002, busy: -32003, too_large: -32004,
  already_registered: -32005, calling_self: -32006, not_permitted: -32007, canceled: -32800,
};
const WORDS = Object.fromEntries(Object.entries(NUMBERS).map(([word, number]) => [number, word]));

// Malformed: what came is no frame, or no line.
class Malformed extends Error {}

// message is one message, whole, with what is not given left at none. The payload is JSON text unless the codec says
// otherwise; ids, addresses and the time left (µs) are BigInts.
function message(type, parts = {}) {
  return {
    type, id: 0n, method: '', to: '', dst: 0n, src: 0n, about: false, left: 0n, traceparent: NONE, tracestate: NONE,
    codec: NO_CODEC, payload: NONE, total: null, refused: '', ...parts,
  };
}

// withValue puts a value into a message; undefined and null are no payload.
function withValue(m, value) {
  m.payload = value === undefined || value === null ? NONE : Buffer.from(JSON.stringify(value));
  m.codec = m.payload.length ? JSON_CODEC : NO_CODEC;
  return m;
}

// valueOf is the payload, read; null if there is none.
const valueOf = (m) => (m.payload.length ? JSON.parse(m.payload) : null);

// address reads @3.17.
function address(text) {
  const parts = /^@(\d+)\.(\d+)$/.exec(text);
  if (!parts) throw new Malformed(`${JSON.stringify(text)} is no address`);
  return (BigInt(parts[1]) << 32n) | BigInt(parts[2]);
}

const addressText = (a) => `@${a >> 32n}.${a & 0xffffffffn}`;

// Frames.

function eight(n) {
  const b = Buffer.alloc(8);
  b.writeBigUInt64BE(n);
  return b;
}

function fieldsOf(m) {
  const fields = [[METHOD, Buffer.from(m.method)], [TO, Buffer.from(m.to)], [LEFT, m.left ? eight(m.left) : NONE]];
  fields.push([TRACEPARENT, m.traceparent], [TRACESTATE, m.tracestate]);
  if (m.payload.length > MAX_PAYLOAD) fields.push([TOTAL, eight(BigInt(m.payload.length))]);
  return Buffer.concat(fields.filter(([, value]) => value.length).flatMap(([tag, value]) => {
    const head = Buffer.alloc(3);
    head.writeUInt8(tag);
    head.writeUInt16BE(value.length, 1);
    return [head, value];
  }));
}

// frames is all frames of a message, one after the other.
function frames(m) {
  const out = [];
  let ext = fieldsOf(m), rest = m.payload;
  do {
    const piece = rest.subarray(0, MAX_PAYLOAD);
    rest = rest.subarray(MAX_PAYLOAD);
    const head = Buffer.alloc(HEADER);
    head.writeUInt32BE(AFTER_LENGTH + ext.length + piece.length);
    head.writeUInt8(m.type, 4);
    head.writeUInt8(m.codec | (m.about ? ABOUT : 0) | (rest.length ? MORE : 0), 5);
    head.writeUInt16BE(ext.length, 6);
    head.writeBigUInt64BE(m.id, 8);
    head.writeBigUInt64BE(m.dst, 16);
    head.writeBigUInt64BE(m.src, 24);
    out.push(head, ext, piece);
    ext = NONE;
  } while (rest.length);
  return Buffer.concat(out);
}

function readFields(m, ext) {
  let last = 0;
  for (let at = 0, end = 0; at < ext.length; at = end) {
    if (ext.length - at < 3) throw new Malformed('fields past the end');
    const tag = ext[at], size = ext.readUInt16BE(at + 1);
    const value = ext.subarray(at + 3, (end = at + 3 + size));
    if (end > ext.length || tag <= last || (KNOWN_SIZES[tag] ?? size) !== size) {
      throw new Malformed('fields past the end, out of order or of a wrong size');
    }
    last = tag;
    if (tag === METHOD) m.method = value.toString();
    else if (tag === TO) m.to = value.toString();
    else if (tag === LEFT) m.left = value.readBigUInt64BE();
    else if (tag === TRACEPARENT) m.traceparent = value;
    else if (tag === TRACESTATE) m.tracestate = value;
    else if (tag === TOTAL) m.total = value.readBigUInt64BE();
    else if (tag >= 0x80) m.refused = 'bad_request';
  }
}

// FrameReader makes messages of what comes out of the pipe in binary mode, pieces put together.
class FrameReader {
  limit = 1 << 20; // max_message
  window = 1024;
  tail = NONE;
  open = new Map(); // type and id → {m, pieces, size}

  *feed(data) {
    data = this.tail.length ? Buffer.concat([this.tail, data]) : data;
    let at = 0;
    while (data.length - at >= 4) {
      const length = data.readUInt32BE(at);
      if (length < AFTER_LENGTH || length > AFTER_LENGTH + MAX_EXT + MAX_PAYLOAD) throw new Malformed(`a frame of ${length} bytes`);
      if (data.length - at < 4 + length) break;
      const m = this.frame(data.subarray(at, (at += 4 + length)));
      if (m) yield m;
    }
    this.tail = data.subarray(at);
  }

  frame(b) {
    const type = b[4], flags = b[5], ext = b.readUInt16BE(6), end = HEADER + ext;
    if (type < CALL || type > CANCEL || flags & RESERVED || ext > MAX_EXT || end > b.length || b.length - end > MAX_PAYLOAD) {
      throw new Malformed('an unknown type, unknown flags, or fields past the end');
    }
    const m = message(type, {
      codec: flags & CODEC_MASK, about: Boolean(flags & ABOUT),
      id: b.readBigUInt64BE(8), dst: b.readBigUInt64BE(16), src: b.readBigUInt64BE(24),
    });
    readFields(m, b.subarray(HEADER, end));
    return this.piece(m, b.subarray(end), Boolean(flags & MORE));
  }

  piece(m, payload, more) {
    const key = `${m.type} ${m.id}`;
    if (m.type === CANCEL) {
      this.open.delete(`${CALL} ${m.id}`);
      this.open.delete(`${CAST} ${m.id}`);
    } else if (m.type === ERROR) {
      this.open.delete(`${REPLY} ${m.id}`); // it takes the place of the rest
    }
    const held = this.open.get(key) ?? { m, pieces: [], size: 0 };
    if (held.m === m && (m.type === CALL || m.type === CAST) && !m.method) {
      throw new Malformed('a call or a cast without a method, or a piece without a first');
    }
    this.hold(held, payload);
    if (more) {
      this.open.set(key, held);
      if (this.open.size > this.window) throw new Malformed('too many messages in unfinished pieces');
      return null;
    }
    this.open.delete(key);
    if (!held.m.refused && held.m.total !== null && held.m.total !== BigInt(held.size)) held.m.refused = 'bad_request';
    held.m.payload = held.m.refused ? NONE : Buffer.concat(held.pieces);
    return held.m;
  }

  hold(held, payload) {
    held.pieces.push(payload);
    held.size += payload.length;
    let all = 0;
    if (held.size > MAX_PAYLOAD) for (const other of this.open.values()) all += other.size;
    if (held.size > this.limit) held.m.refused ||= 'too_large';
    else if (all > HELD_MESSAGES * this.limit) held.m.refused ||= 'busy';
    if (held.m.refused) [held.pieces, held.size] = [[], 0];
  }
}

// Lines.

// line is a message as a line, with its newline.
function line(m) {
  const parts = ['"jsonrpc":"2.0"'];
  const put = (member, text) => parts.push(`"${member}":${text}`);
  if (m.type === CANCEL) {
    put('method', '"$cancel"');
    put('params', `{"id":${m.id}}`);
    return Buffer.from(`{${parts.join(',')}}\n`);
  }
  if (m.type !== CAST) put('id', m.id);
  if (m.method) put('method', JSON.stringify(m.method));
  if (m.to || m.dst) put('to', JSON.stringify(m.to || addressText(m.dst)));
  if (m.src) put('from', JSON.stringify(addressText(m.src)));
  if (m.about) put('about', 'true');
  if (m.left) put('timeout', Number(m.left) / 1e6);
  if (m.traceparent.length) {
    const h = m.traceparent.toString('hex');
    put('traceparent', `"00-${h.slice(0, 32)}-${h.slice(32, 48)}-${h.slice(48)}"`);
  }
  const payload = m.payload.toString();
  if (m.type === REPLY) put('result', payload || 'null');
  else if (m.type === ERROR) put('error', lineError(valueOf(m)));
  else if (payload) put('params', payload[0] === '{' ? payload : `[${payload}]`);
  return Buffer.from(`{${parts.join(',')}}\n`);
}

function lineError(e) {
  const data = { code: e.code, data: e.data };
  return JSON.stringify({ code: NUMBERS[e.code] ?? 1, message: e.message ?? '', data });
}

// readLine reads a line.
function readLine(text) {
  try {
    const o = JSON.parse(text);
    if (o === null || typeof o !== 'object' || Array.isArray(o)) throw new Malformed('a line that is no JSON object');
    return lineMessage(o);
  } catch (e) {
    throw new Malformed(`a line that is no message: ${e.message}`);
  }
}

function lineMessage(o) {
  if (o.method === '$cancel') return message(CANCEL, { id: BigInt(o.params.id) });
  const called = o.id !== undefined;
  const m = message(CAST, { id: BigInt(o.id ?? 0), method: o.method ?? '' });
  if (m.method) {
    m.type = called ? CALL : CAST;
    withValue(m, Array.isArray(o.params) && o.params.length === 1 ? o.params[0] : o.params);
  } else {
    m.type = o.error ? ERROR : REPLY;
    withValue(m, o.error ? frameError(o.error) : o.result);
  }
  if (o.to?.startsWith('@')) m.dst = address(o.to);
  else m.to = o.to ?? '';
  if (o.from) m.src = address(o.from);
  m.about = o.about ?? false;
  m.left = BigInt(Math.round((o.timeout ?? 0) * 1e6));
  if (o.traceparent) m.traceparent = Buffer.from(o.traceparent.slice(3).replaceAll('-', ''), 'hex');
  return m;
}

function frameError(e) {
  return { code: e.data?.code ?? WORDS[e.code] ?? 'error', message: e.message ?? '', data: e.data?.data };
}

// LineReader makes messages of what comes out of the pipe in line mode.
class LineReader {
  limit = 1 << 20; // max_message
  window = 1024;
  tail = NONE;

  *feed(data) {
    data = this.tail.length ? Buffer.concat([this.tail, data]) : data;
    let at = 0;
    for (let end; (end = data.indexOf(10, at)) >= 0; at = end + 1) {
      if (end > at) yield readLine(data.subarray(at, end));
    }
    this.tail = data.subarray(at);
    if (this.tail.length > this.limit + LINE_SLACK) throw new Malformed(`a line of more than ${this.limit + LINE_SLACK} bytes`);
  }
}

module.exports = {
  CALL, CAST, REPLY, ERROR, CANCEL, NO_CODEC, JSON_CODEC,
  Malformed, message, withValue, valueOf, frames, FrameReader, line, readLine, LineReader,
};
