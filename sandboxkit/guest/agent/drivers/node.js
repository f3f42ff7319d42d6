'use strict';
// The driver of a JavaScript or TypeScript context: node.js FD [typescript].
//
// Cells are evaluated by V8's own REPL mode, through the inspector of this very process: so names
// may be declared again, `await` stands anywhere, and the last expression has a value.

const inspector = require('node:inspector');
const moduleApi = require('node:module');
const net = require('node:net');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const util = require('node:util');
const vm = require('node:vm');

const PART = 65536; // characters of content in one message
const HEADER = 4; // bytes of a message's length
const JUPYTER = Symbol.for('Jupyter.display'); // what Deno's notebooks call the method, too
const OURS = /^\s+at (Session\.post|.*\(node:inspector|.*node\.js:\d+)/;

const [fd, dialect] = [Number(process.argv[2]), process.argv[3]];
const channel = new net.Socket({ fd, readable: true, writable: true });
const session = new inspector.Session();
session.connect();

// -- messages --

function send(message) {
  const body = Buffer.from(JSON.stringify(message));
  const header = Buffer.alloc(HEADER);
  header.writeUInt32BE(body.length);
  channel.write(Buffer.concat([header, body]));
}

let incoming = Buffer.alloc(0);
channel.on('data', (data) => {
  incoming = Buffer.concat([incoming, data]);
  while (incoming.length >= HEADER && incoming.length >= HEADER + incoming.readUInt32BE()) {
    const end = HEADER + incoming.readUInt32BE();
    const message = JSON.parse(incoming.subarray(HEADER, end).toString());
    incoming = incoming.subarray(end);
    if ('code' in message) run(message);
  }
});
channel.on('close', () => process.exit(0));
channel.on('error', () => process.exit(0));

let shown = 0;

function show(bundle, main) {
  const number = ++shown;
  const [small, large, asJson] = [{}, {}, []];
  let room = PART;
  for (const [mime, content] of Object.entries(bundle)) {
    const text = typeof content === 'string' ? content : JSON.stringify(content);
    if (text.length + mime.length <= room) {
      room -= text.length + mime.length;
      small[mime] = content;
    } else {
      large[mime] = text;
      if (typeof content !== 'string') asJson.push(mime);
    }
  }
  for (const [mime, text] of Object.entries(large)) {
    for (const part of parts(text)) send({ event: 'result_part', id: number, mime, part });
  }
  const result = { event: 'result', data: small, main };
  if (Object.keys(large).length) result.parts = number;
  if (asJson.length) result.json_parts = asJson;
  send(result);
}

function* parts(text, size = PART) {
  for (let start = 0; start < text.length; ) {
    let end = Math.min(start + size, text.length);
    // A character of two units stays whole.
    if (end < text.length && /[\ud800-\udbff]/.test(text[end - 1])) end -= 1;
    yield text.slice(start, end);
    start = end;
  }
}

// -- values --

async function bundleOf(value) {
  const bundle = { 'text/plain': util.inspect(value, { maxStringLength: Infinity }) };
  if (value !== null && typeof value === 'object') {
    if (Array.isArray(value) || isPlain(value)) {
      const text = attempt(() => JSON.stringify(value));
      if (text !== undefined) bundle['application/json'] = JSON.parse(text);
    }
    if (typeof value[JUPYTER] === 'function') Object.assign(bundle, await value[JUPYTER]());
  }
  return encoded(bundle);
}

function isPlain(value) {
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

function attempt(make) {
  try {
    return make();
  } catch {
    return undefined; // a circle, or a number that JSON has not
  }
}

function encoded(bundle) {
  const sendable = {};
  for (const [mime, content] of Object.entries(bundle)) {
    const bytes = content instanceof Uint8Array;
    const value = bytes ? Buffer.from(content).toString('base64') : content;
    if (value !== undefined && attempt(() => JSON.stringify(value)) !== undefined) {
      sendable[mime] = value;
    }
  }
  return sendable;
}

async function display(value, options = {}) {
  show(options.raw ? encoded(value) : await bundleOf(value), false);
}

// -- evaluating --

// SIGINT ends what runs within, however busy it is.
const interruptible = new vm.Script(`globalThis[Symbol.for('sandboxkit.post')]()`);
let pending = () => {};
let taken;
Object.defineProperty(globalThis, Symbol.for('sandboxkit.post'), { value: () => pending() });
Object.defineProperty(globalThis, Symbol.for('sandboxkit.take'), {
  value: (value) => {
    taken = value;
  },
});

class Interrupted extends Error {}

function post(method, parameters) {
  return new Promise((resolve, reject) => {
    pending = () =>
      session.post(method, parameters, (error, reply) => {
        if (error) setImmediate(reject, new Interrupted('the cell was interrupted'));
        else resolve(reply);
      });
    try {
      interruptible.runInThisContext({ breakOnSigint: true });
    } catch (error) {
      if (error.code !== 'ERR_SCRIPT_EXECUTION_INTERRUPTED') throw error;
      reject(new Interrupted('the cell was interrupted'));
    }
  });
}

/** What a remote object of the inspector stands for. */
async function valueOf(remote) {
  if (remote.objectId === undefined) {
    const text = remote.unserializableValue;
    if (text === undefined) return remote.type === 'undefined' ? undefined : remote.value;
    return text.endsWith('n') ? BigInt(text.slice(0, -1)) : Number(text);
  }
  await post('Runtime.callFunctionOn', {
    functionDeclaration: `function (v) { globalThis[Symbol.for('sandboxkit.take')](v); }`,
    arguments: [{ objectId: remote.objectId }],
    objectId: remote.objectId,
  });
  session.post('Runtime.releaseObject', { objectId: remote.objectId });
  return taken;
}

async function evaluate(code, number) {
  const expression = `${withImports(withoutTypes(code))}\n//# sourceURL=cell-${number}`;
  const reply = await post('Runtime.evaluate', { expression, replMode: true, awaitPromise: true });
  if (reply.exceptionDetails) {
    const details = reply.exceptionDetails;
    throw { thrown: await valueOf(details.exception), details, code };
  }
  const value = await valueOf(reply.result);
  if (value !== undefined) show(await bundleOf(value), true);
}

function raised(error, number) {
  if (error instanceof Interrupted) {
    return { name: 'Interrupted', value: error.message, traceback: '' };
  }
  const thrown = 'thrown' in error ? error.thrown : error;
  if (!(thrown instanceof Error)) {
    const text = util.inspect(thrown);
    return { name: 'Uncaught', value: text, traceback: `Uncaught ${text}` };
  }
  const lines = String(thrown.stack ?? thrown).split('\n');
  const end = lines.findIndex((line) => OURS.test(line));
  let traceback = (end < 0 ? lines : lines.slice(0, end)).join('\n');
  if (thrown instanceof SyntaxError && error.details) {
    traceback = `${place(error, number)}${traceback}`;
  }
  return { name: String(thrown.name), value: String(thrown.message), traceback };
}

function place({ details, code }, number) {
  const line = code.split('\n')[details.lineNumber];
  if (line === undefined) return '';
  const where = `cell-${number}:${details.lineNumber + 1}:${details.columnNumber + 1}`;
  return `${where}\n${line}\n${' '.repeat(details.columnNumber)}^\n\n`;
}

let current = null; // of the running cell: ends its wait

async function run({ code, number, env }) {
  const before = Object.fromEntries(Object.keys(env).map((name) => [name, process.env[name]]));
  Object.assign(process.env, env);
  const interruption = new Promise((_, reject) => {
    current = () => reject(new Interrupted('the cell was interrupted'));
  });
  interruption.catch(() => {}); // nobody need be waiting for it
  send({ event: 'begun' });
  try {
    await Promise.race([evaluate(code, number), interruption]);
  } catch (error) {
    send({ event: 'raised', ...shortened(raised(error, number)) });
  }
  current = null;
  for (const [name, value] of Object.entries(before)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  send({ event: 'done' });
}

function shortened({ name, value, traceback }) {
  return {
    name: name.slice(0, 200),
    value: [...parts(value, 32768)][0] ?? '',
    traceback: [...parts(traceback, 49152)][0] ?? '',
  };
}

process.on('SIGINT', () => current?.());
process.on('uncaughtException', (error) => console.error('Uncaught', error));
process.on('unhandledRejection', (error) => console.error('Uncaught (in promise)', error));

// -- modules --

const required = moduleApi.createRequire(path.join(process.cwd(), 'cell.js'));

/** `import()`, as from a file in the working directory. */
async function imported(name) {
  if (moduleApi.isBuiltin(name) || /^(node|file|data):/.test(name)) return import(name);
  let found;
  try {
    found = required.resolve(name);
  } catch {
    return import(name); // it says itself what is wrong
  }
  return import(pathToFileURL(found));
}

/** A cell whose imports are calls of ours: V8's REPL mode has none. */
function withImports(code) {
  if (!code.includes('import')) return code;
  const bare = masked(code);
  let out = '';
  let at = 0;
  const pattern = /(?<![\w$.])import(?:\s*\(|\s+(?=["'`*{\w$]))|(?<![\w$.])import(?=["'{*])/g;
  for (const match of bare.matchAll(pattern)) {
    if (match.index < at) continue;
    out += code.slice(at, match.index);
    at = match.index + match[0].length;
    if (match[0].endsWith('(')) {
      out += '__import(';
      continue;
    }
    const statement = /^([^"'`;]*?)(?:\s*\bfrom\s*)?(["'])(.*?)\2\s*(?:with\s*\{[^}]*\})?\s*;?/s.exec(code.slice(at));
    if (!statement) {
      out += match[0];
      continue;
    }
    out += binding(statement[1].trim(), JSON.stringify(statement[3]));
    at += statement[0].length;
  }
  return out + code.slice(at);
}

function binding(clause, name) {
  if (!clause) return `await __import(${name});`;
  const names = [];
  const star = /\*\s*as\s+([\w$]+)/.exec(clause);
  const braces = /\{([^}]*)\}/s.exec(clause);
  const first = /^[\w$]+/.exec(clause);
  if (first) names.push(`default: ${first[0]}`);
  if (braces) names.push(braces[1].replace(/([\w$]+)\s+as\s+([\w$]+)/g, '$1: $2'));
  const lines = [];
  if (star) lines.push(`const ${star[1]} = await __import(${name});`);
  if (names.length) lines.push(`const {${names.join(', ')}} = await __import(${name});`);
  return lines.join(' ');
}

/** The code with strings, comments and templates blanked, place for place. */
function masked(code) {
  const literal = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\[\s\S])*`/g;
  return code.replace(literal, (text) =>
    /^["'`]/.test(text) ? text[0] + ' '.repeat(text.length - 2) + text[0] : ' '.repeat(text.length),
  );
}

function withoutTypes(code) {
  return dialect === 'typescript' ? moduleApi.stripTypeScriptTypes(code) : code;
}

// -- beginning --

function refuseTypes() {
  const needed = 'TypeScript needs Node.js 22.13 or later';
  const why = `${needed}, and this is ${process.version}: install it from https://nodejs.org in the template`;
  send({ event: 'unsupported', why });
  channel.end(() => process.exit(1));
}

function begin() {
  Object.assign(globalThis, { require: required, display });
  Object.defineProperty(globalThis, '__import', { value: imported });
  for (const name of moduleApi.builtinModules) {
    if (/^[a-z]\w*$/.test(name) && !(name in globalThis)) {
      Object.defineProperty(globalThis, name, {
        configurable: true,
        get: () => required(name),
        set: (value) =>
          Object.defineProperty(globalThis, name, { value, writable: true, configurable: true }),
      });
    }
  }
  if (dialect === 'typescript') {
    const { emitWarning } = process;
    process.emitWarning = () => {}; // it would say in every context that this is experimental
    withoutTypes('let x: number');
    process.emitWarning = emitWarning;
  }
  send({ event: 'ready' });
}

if (dialect === 'typescript' && !moduleApi.stripTypeScriptTypes) refuseTypes();
else begin();
