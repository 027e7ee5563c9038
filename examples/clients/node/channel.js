// A worker of supervise in Node.js: calls, casts and errors over the channel, in frames or in lines.
//
// The page that it is written from is docs/protocol.md. Handlers may be async; they run one after the other, as those of
// a gen_server do, while reading goes on.
'use strict';

const fs = require('node:fs');
const net = require('node:net');
const wire = require('./wire.js');

const { CALL, CAST, REPLY, ERROR, CANCEL, JSON_CODEC, NO_CODEC } = wire;

const ROOT = 1n << 32n; // the address @1.0
const ITEM = 256; // bytes that a message counts beside its payload
const MAILBOX_MARK = 16 << 20; // bytes that wait for their handlers before senders are asked to hold back
const MAILBOX_CAP = 4 * MAILBOX_MARK; // and before casts are dropped and calls get busy
const OUT_CASTS = 4 << 20; // bytes that wait to be written before a cast waits
const LONGEST_TIMER = 2 ** 31 - 1; // ms
const O_ACCMODE = 3;

// Failure is thrown by a handler: an error that goes to the caller, a word, a sentence and data.
class Failure extends Error {
  constructor(code, message = '', data = undefined) {
    super(message || code);
    Object.assign(this, { code, data });
  }
}

// CallFailed: a call of ours failed. From a handler it goes to the caller as an error: its word was about somebody else.
class CallFailed extends Error {
  constructor(method, code, message = '', data = undefined) {
    super(`call ${method}: ${code}${message && message !== code ? `: ${message}` : ''}`);
    Object.assign(this, { code, data });
  }
}

// Ignore is thrown by init: the worker is not to run, and that is well.
class Ignore extends Error {}

// Stop is thrown by a handler that wants the worker to end normally, after its answer.
class Stop extends Error {
  constructor(answer) {
    super('stop');
    this.answer = answer;
  }
}

// Worker is one life. Give it a handler for each method, which serves calls and casts alike, then run it.
class Worker {
  hello = null; // the node's greeting
  methods = new Map();
  #mailbox = []; // {m, by}
  #waiting = 0; // bytes in it
  #busy = false;
  #wake = () => {};
  #reason = ''; // why it is to end
  #lastID = 0n;
  #open = new Map(); // id of an own call → what takes its answer
  #noRoom = []; // calls and casts that wait

  constructor(client) {
    this.client = client;
  }

  // What a worker's author uses.

  on(method, f) { this.methods.set(method, f); return this; }

  // call calls a name, a path or an address, and answers with what that answers. timeout is in seconds; 0: no limit.
  async call(to, method, value, { timeout = 5, about = false } = {}) {
    while (this.#open.size >= this.hello.window) await this.#room();
    const m = this.#aim(wire.message(CALL, { id: ++this.#lastID, method, about, left: BigInt(Math.round(timeout * 1e6)) }), to, value);
    const { promise, resolve, reject } = this.#promise();
    const late = () => {
      this.#send(wire.message(CANCEL, { id: m.id }));
      reject(new CallFailed(method, 'timeout', `no answer within ${timeout} s`));
    };
    const timer = timeout > 0 && timeout * 1e3 < LONGEST_TIMER ? setTimeout(late, timeout * 1e3) : null;
    this.#open.set(m.id, resolve);
    try {
      this.#send(m);
      return this.#outcome(method, await promise);
    } finally {
      clearTimeout(timer);
      this.#open.delete(m.id);
      this.#goOn();
    }
  }

  // cast casts. It waits while much is still to be written.
  async cast(to, method, value) {
    while (this.#w.writableLength >= OUT_CASTS) await this.#room();
    this.#send(this.#aim(wire.message(CAST, { method }), to, value));
  }

  register(name) { return this.call(ROOT, '$register', { name }); }

  // run lives, and then ends the process.
  async run(init = () => {}, terminate = () => {}) {
    const greeted = this.#promise();
    this.#attach(greeted.resolve);
    await greeted.promise;
    process.exitCode = this.hello ? await this.#live(init, terminate) : 1;
    this.#r.destroy();
    this.#w.end(() => process.exit());
  }

  // What it is made of.

  #r; #w; #reader; #writeOut;

  #promise() {
    const p = {};
    p.promise = new Promise((resolve, reject) => Object.assign(p, { resolve, reject }));
    return p;
  }

  #room() { return new Promise((resolve) => this.#noRoom.push(resolve)); }
  #goOn() { for (const resolve of this.#noRoom.splice(0)) resolve(); }

  #aim(m, to, value) {
    if (typeof to === 'bigint') m.dst = to;
    else m.to = to;
    return wire.withValue(m, value);
  }

  #outcome(method, m) {
    if (m.refused) throw new CallFailed(method, m.refused);
    if (m.type === REPLY) return wire.valueOf(m);
    const e = wire.valueOf(m);
    throw new CallFailed(method, e.code ?? 'error', e.message, e.data);
  }

  // attach takes the channel over. Node.js has made its descriptors close-on-exec before the program began.
  #attach(greeted) {
    const ends = (process.env.SUPERVISE_CHANNEL ?? '').split(',').map(Number);
    delete process.env.SUPERVISE_CHANNEL;
    try {
      if (ends.length !== 2) throw new Error('there is no channel');
      for (const [way, fd] of ends.entries()) { // O_RDONLY is 0, O_WRONLY 1
        const flags = parseInt(/^flags:\s*(\d+)/m.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))[1], 8);
        if (!fs.fstatSync(fd).isFIFO() || (flags & O_ACCMODE) !== way) throw new Error(`descriptor ${fd} is no pipe of that direction`);
      }
    } catch (e) {
      console.error(`${this.client}: not supervised: ${e.message}`);
      process.exit(1);
    }
    process.on('SIGTERM', () => this.#end('shutdown'));
    this.#r = new net.Socket({ fd: ends[0], readable: true, writable: false });
    this.#w = new net.Socket({ fd: ends[1], readable: false, writable: true });
    this.#w.on('drain', () => this.#goOn());
    this.#w.on('error', () => this.#end('shutdown')); // the supervisor is gone, and the reader finds the end, too
    this.#r.on('data', (data) => this.#read(data, greeted));
    this.#r.on('error', () => this.#end('shutdown'));
    this.#r.on('close', () => { this.#end('shutdown'); greeted(); });
  }

  async #live(init, terminate) {
    if (!this.hello.protocol.includes(1)) {
      this.#say('$hello', { protocol: 0 });
      return 1;
    }
    this.#say('$hello', { protocol: 1, client: this.client, pid: process.pid });
    try {
      await init();
    } catch (e) {
      if (e instanceof Ignore) this.#say('$ignore');
      else this.#say('$failed', { reason: e.message, stack: e.stack });
      return e instanceof Ignore ? 0 : 1;
    }
    this.#say('$ready', { methods: this.#names() });
    try {
      const reason = await this.#serve();
      await terminate(reason);
      this.#say('$exiting', { reason });
      return 0;
    } catch (e) { // let it crash: the supervisor knows what to do
      console.error(e);
      this.#say('$exiting', { reason: 'abnormal', detail: String(e), stack: e.stack });
      return 1;
    }
  }

  #names() { return [...this.methods.keys()].sort(); }

  #end(reason) {
    this.#reason ||= reason;
    this.#wake();
  }

  // The mailbox.

  // serve handles messages until the worker is to end, and answers with the reason.
  async #serve() {
    while (!this.#reason) {
      const next = this.#mailbox.shift();
      if (!next) {
        await new Promise((resolve) => { this.#wake = resolve; });
        continue;
      }
      this.#count(-next.m.payload.length - ITEM);
      if (next.by && next.by < performance.now()) {
        this.#fail(next.m, new Failure('timeout', 'its time was over before its turn came'));
        continue;
      }
      try {
        await this.#handle(next.m);
      } catch (e) {
        if (!(e instanceof Stop)) throw e;
        this.#answer(next.m, e.answer);
        return 'normal';
      }
    }
    return this.#reason;
  }

  async #handle(m) {
    if (m.method === '$ping') return this.#answer(m, null);
    const handler = this.methods.get(m.method);
    try {
      if (!handler) throw new Failure('no_method', `no method ${m.method}`);
      if (m.codec !== NO_CODEC && m.codec !== JSON_CODEC) throw new Failure('bad_request', 'the payload is not JSON');
      this.#answer(m, await handler(this.#readValue(m)));
    } catch (e) {
      if (e instanceof CallFailed) this.#fail(m, new Failure('error', e.message, e.data));
      else if (e instanceof Failure) this.#fail(m, e);
      else throw e;
    }
  }

  #readValue(m) {
    try {
      return wire.valueOf(m);
    } catch (e) {
      throw new Failure('bad_request', `the payload cannot be read: ${e.message}`);
    }
  }

  #answer(m, value) {
    if (m.type !== CALL) return;
    const reply = wire.withValue(wire.message(REPLY, { id: m.id }), value);
    if (reply.payload.length > this.hello.max_message) this.#fail(m, new Failure('too_large', `an answer of ${reply.payload.length} bytes`));
    else this.#send(reply);
  }

  #fail(m, { code, message, data }) {
    if (m.type === CAST) console.error(`${this.client}: the cast ${m.method}: ${code}: ${message}`);
    else this.#send(wire.withValue(wire.message(ERROR, { id: m.id }), { code, message, data }));
  }

  // The pipes.

  // say casts to the node.
  #say(method, value) { this.#send(this.#aim(wire.message(CAST, { method }), '', value)); }

  #send(m) {
    if (m.type === CAST) m.id = ++this.#lastID;
    this.#w.write(this.#writeOut(m));
  }

  // The first byte tells the mode: a line begins with a brace, a frame with the high byte of its length, 0.
  #read(data, greeted) {
    if (!this.#reader) {
      const lines = data[0] === '{'.charCodeAt(0);
      this.#reader = lines ? new wire.LineReader() : new wire.FrameReader();
      this.#writeOut = lines ? wire.line : wire.frames;
    }
    try {
      for (const m of this.#reader.feed(data)) this.#take(m, greeted);
    } catch (e) {
      console.error(`${this.client}: reading the channel: ${e.message}`);
      process.exit(1);
    }
  }

  // take is what is done with a message when it is read: nothing that takes time.
  #take(m, greeted) {
    if (!this.hello) {
      if (m.method !== '$hello') throw new wire.Malformed('a first frame that is no $hello');
      this.hello = wire.valueOf(m);
      Object.assign(this.#reader, { limit: this.hello.max_message, window: this.hello.window });
      greeted();
    } else if (m.type === REPLY || m.type === ERROR) this.#open.get(m.id)?.(m);
    else if (m.type === CANCEL) this.#forget(m.id);
    else if (m.refused) this.#fail(m, new Failure(m.refused));
    else if (m.method.startsWith('$')) this.#verb(m);
    else if (this.#waiting > MAILBOX_CAP) this.#fail(m, new Failure('busy', 'the mailbox is full'));
    else this.#enqueue(m);
  }

  // verb is the protocol's own methods. Casts that are not known are ignored.
  #verb(m) {
    if (m.type === CAST) {
      if (m.method === '$stop') this.#end(wire.valueOf(m)?.reason ?? 'shutdown');
    } else if (m.method === '$ping' && wire.valueOf(m)?.mailbox) this.#enqueue(m);
    else if (m.method === '$ping') this.#answer(m, null);
    else if (m.method === '$methods') this.#answer(m, this.#names());
    else this.#fail(m, new Failure('no_method', `no method ${m.method}`));
  }

  #enqueue(m) {
    this.#count(m.payload.length + ITEM);
    this.#mailbox.push({ m, by: m.left ? performance.now() + Number(m.left) / 1e3 : 0 });
    this.#wake();
  }

  // forget takes a call that nobody waits for any more out of the mailbox.
  #forget(id) {
    const at = this.#mailbox.findIndex(({ m }) => m.type === CALL && m.id === id);
    if (at < 0) return;
    const [{ m }] = this.#mailbox.splice(at, 1);
    this.#count(-m.payload.length - ITEM);
  }

  // count counts what waits in the mailbox, and asks senders to hold back, or to go on.
  #count(bytes) {
    this.#waiting += bytes;
    const busy = this.#waiting > (this.#busy ? MAILBOX_MARK / 2 : MAILBOX_MARK);
    if (busy !== this.#busy) this.#say('$flow', { busy });
    this.#busy = busy;
  }
}

module.exports = { Worker, Failure, CallFailed, Ignore, Stop };
