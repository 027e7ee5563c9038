#!/usr/bin/env node
// Reads and writes every test vector of the protocol: vectors.js ../../../ipc/testdata/vectors.txt
'use strict';

const { readFileSync } = require('node:fs');
const { FrameReader, frames, line, readLine } = require('./wire.js');

let count = 0, wrong = 0, name = '', frame = null;
for (const row of readFileSync(process.argv[2], 'utf8').split('\n')) {
  const [key, value] = [row.split(': ', 1)[0], row.slice(row.indexOf(': ') + 2)];
  if (key === 'message') name = value;
  else if (key === 'frame') frame = Buffer.from(value, 'hex');
  else if (key === 'line') {
    count++;
    const text = Buffer.from(value + '\n');
    const [framed, ...more] = new FrameReader().feed(frame);
    const lined = readLine(text);
    const same = !more.length && [frames(framed), frames(lined)].every((b) => b.equals(frame)) && [line(framed), line(lined)].every((b) => b.equals(text));
    if (!same) {
      wrong++;
      console.error(`${name}: not the same bytes`);
    }
  }
}
console.log(`${count} vectors, ${wrong} wrong`);
process.exitCode = count && !wrong ? 0 : 1;
