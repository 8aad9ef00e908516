// Asks a worker one thing from Node, with the package celery-node (npm install celery-node).
//
//     node celery_node.mjs redis://127.0.0.1:6379/0 text-classification '{"inputs": "a delight"}'
//
// Prints the result as JSON. Exit status: 0, 1 if the request failed (its error goes to stderr), 2 if no answer came.
import { createRequire } from "node:module";

// `require` also looks into NODE_PATH, where a global installation is.
const celery = createRequire(import.meta.url)("celery-node");
const TIMEOUT_MS = Number(process.env.TIMEOUT_S ?? 30) * 1000;

const [url, task, kwargs] = process.argv.slice(2);
// The third argument is the queue; without it the request goes to `celery`, which our workers consume too.
const client = celery.createClient(url, url, task);
try {
  const sent = client.createTask(task).applyAsync([], JSON.parse(kwargs));
  console.log(JSON.stringify(await sent.get(TIMEOUT_MS)));
} catch (error) {
  console.error(typeof error === "object" && !(error instanceof Error) ? JSON.stringify(error) : String(error));
  process.exitCode = String(error).includes("TIMEOUT") ? 2 : 1;
} finally {
  await client.disconnect();
}
