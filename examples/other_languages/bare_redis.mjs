// Asks a worker one thing from Node, with nothing but a socket: no Celery, no Redis package.
//
//     node bare_redis.mjs redis://127.0.0.1:6379/0 text-classification '{"inputs": "a delight"}'
//
// Prints the result as JSON. Exit status: 0, 1 if the request failed (its error goes to stderr), 2 if no answer came.
import { randomUUID } from "node:crypto";
import net from "node:net";

const TIMEOUT_MS = Number(process.env.TIMEOUT_S ?? 30) * 1000;

/** A connection that sends commands and yields replies in order; enough of Redis's protocol (RESP2) for this program. */
class Redis {
  #socket;
  #buffer = Buffer.alloc(0);
  #replies = [];
  #waiting = [];

  constructor(url) {
    const { hostname, port } = new URL(url);
    this.#socket = net.connect(Number(port || 6379), hostname);
    this.#socket.on("data", (chunk) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      for (let parsed; (parsed = parse(this.#buffer, 0)); ) {
        this.#buffer = this.#buffer.subarray(parsed.end);
        this.#deliver(parsed.value);
      }
    });
    this.#socket.on("error", (error) => this.#deliver(error));
  }

  send(...words) {
    const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    this.#socket.write(`*${words.length}\r\n${parts.join("")}`);
  }

  async next() {
    const reply = this.#replies.length
      ? this.#replies.shift()
      : await new Promise((resolve) => this.#waiting.push(resolve));
    if (reply instanceof Error) throw reply;
    return reply;
  }

  close() {
    this.#socket.destroy();
  }

  #deliver(reply) {
    this.#waiting.length ? this.#waiting.shift()(reply) : this.#replies.push(reply);
  }
}

/** The reply that begins at `at`, and where it ends; undefined if it has not arrived whole. */
function parse(buffer, at) {
  const eol = buffer.indexOf("\r\n", at);
  if (eol < 0) return undefined;
  const line = buffer.toString("utf8", at + 1, eol);
  const kind = String.fromCharCode(buffer[at]);
  let end = eol + 2;
  if (kind === "+") return { value: line, end };
  if (kind === "-") return { value: new Error(line), end };
  if (kind === ":") return { value: Number(line), end };
  if (Number(line) < 0) return { value: null, end };
  if (kind === "$") {
    const stop = end + Number(line);
    return buffer.length < stop + 2 ? undefined : { value: buffer.toString("utf8", end, stop), end: stop + 2 };
  }
  const values = [];
  for (let left = Number(line); left > 0; left--) {
    const element = parse(buffer, end);
    if (!element) return undefined;
    values.push(element.value);
    end = element.end;
  }
  return { value: values, end };
}

/** The message of a request, as docs/contract.md describes it. */
function message(id, task, kwargs, expiresAt) {
  const body = JSON.stringify([[], kwargs, null]);
  return JSON.stringify({
    body: Buffer.from(body).toString("base64"),
    "content-type": "application/json",
    "content-encoding": "utf-8",
    headers: {
      task,
      id,
      expires: expiresAt.toISOString(),
      celeriac_contract_version: 1,
      celeriac_sent_at: Date.now() / 1000,
    },
    properties: {
      delivery_tag: randomUUID(),
      delivery_info: { exchange: "", routing_key: task },
      body_encoding: "base64",
    },
  });
}

async function ask(url, task, kwargs) {
  const id = randomUUID();
  const key = `celery-task-meta-${id}`;
  const [results, broker] = [new Redis(url), new Redis(url)];
  try {
    // Subscribe before sending, so that no answer is missed.
    results.send("SUBSCRIBE", key);
    await results.next();
    broker.send("LPUSH", task, message(id, task, kwargs, new Date(Date.now() + TIMEOUT_MS)));
    await broker.next();
    for (;;) {
      const [kind, , text] = await results.next();
      const record = kind === "message" ? JSON.parse(text) : {};
      if (["SUCCESS", "FAILURE", "REVOKED"].includes(record.status)) return record;
    }
  } finally {
    results.close();
    broker.close();
  }
}

const [url, task, kwargs] = process.argv.slice(2);
const timer = setTimeout(() => {
  console.error("no answer in time");
  process.exit(2);
}, TIMEOUT_MS);
const record = await ask(url, task, JSON.parse(kwargs));
clearTimeout(timer);
if (record.status === "SUCCESS") {
  console.log(JSON.stringify(record.result));
} else {
  console.error(JSON.stringify(record.result));
  process.exitCode = 1;
}
