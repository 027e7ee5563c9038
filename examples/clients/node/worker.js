#!/usr/bin/env node
// A worker in Node.js: worker.js NAME. It registers NAME, counts, echoes, and asks others.
'use strict';

const { Worker, Failure, Stop } = require('./channel.js');

let total = 0;
const worker = new Worker('node');
worker
  .on('echo', (value) => value)
  .on('add', (n) => {
    if (!Number.isInteger(n)) throw new Failure('not_a_number', '', n);
    return (total += n);
  })
  .on('total', () => total)
  // Calls another worker, and answers with what that answers.
  .on('ask', ({ to, method, value, timeout }) => worker.call(to, method, value, { timeout }))
  // Casts to another worker.
  .on('tell', ({ to, method, value }) => worker.cast(to, method, value))
  .on('quit', () => { throw new Stop('bye'); })
  .on('crash', (why) => { throw new Error(why); })
  .run(() => worker.register(process.argv[2]));
