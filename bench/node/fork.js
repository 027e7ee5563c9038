// Measures the channel of Node.js's child_process.fork: fork.js json|advanced call|calls|casts|bulk SECONDS
// It prints the µs of a call alone (call), calls a second with 256 outstanding (calls), casts of 64 bytes a second
// (casts), or bytes a second in casts of 64 KiB (bulk). The payload is a string in JSON, a Buffer in advanced.
'use strict';

const { fork } = require('node:child_process');

if (process.argv[2] === 'child') {
  let notes = 0;
  process.on('message', (m) => {
    if (m.note !== undefined) notes++;
    else if (m.count) process.send({ count: notes });
    else process.send(m);
  });
} else {
  measure(...process.argv.slice(2)).then((value) => {
    console.log(value);
    process.exit();
  });
}

async function measure(serialization, what, seconds) {
  const child = fork(__filename, ['child'], { serialization });
  const payload = (size) => (serialization === 'json' ? 'x'.repeat(size) : Buffer.alloc(size));
  const waiting = new Map();
  let counted;
  child.on('message', (m) => {
    if (m.count !== undefined) return counted(m.count);
    waiting.get(m.id)();
    waiting.delete(m.id);
  });
  let last = 0;
  const small = payload(64);
  const call = () => new Promise((resolve) => {
    waiting.set(++last, resolve);
    child.send({ id: last, payload: small });
  });
  for (let i = 0; i < 1000; i++) await call();
  const begun = performance.now(), end = begun + seconds * 1e3;
  if (what === 'call') return p50(call, end);
  if (what === 'calls') return rate(call, begun, end);
  const size = what === 'bulk' ? 65536 : 64, note = { note: payload(size) };
  while (performance.now() < end) await several(child, note);
  const count = await new Promise((resolve) => { counted = resolve; child.send({ count: true }); });
  return (count / ((performance.now() - begun) / 1e3)) * (what === 'bulk' ? size : 1);
}

// several casts until the channel has enough, and waits until it has been written.
function several(child, note) {
  return new Promise((resolve) => {
    for (let i = 0; i < 255 && child.send(note); i++);
    child.send(note, resolve);
  });
}

async function p50(call, end) {
  const times = [];
  for (let now = performance.now(); now < end;) {
    await call();
    const then = performance.now();
    times.push(then - now);
    now = then;
  }
  times.sort((a, b) => a - b);
  return times[times.length >> 1] * 1e3;
}

async function rate(call, begun, end) {
  let n = 0;
  const caller = async () => {
    for (; performance.now() < end; n++) await call();
  };
  await Promise.all(Array.from({ length: 256 }, caller));
  return n / ((performance.now() - begun) / 1e3);
}
