// Runs a model with a page's own runtime, outside of a browser: an image after the other on stdin (height and width in
// four bytes each, then RGB), a line of JSON for each on stdout.
import { readFileSync } from "node:fs";
import * as ort from "./ort.mjs";

const [, , model, binary] = process.argv;
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const chunks = [];
let length = 0;
const stdin = process.stdin[Symbol.asyncIterator]();
const read = async (count) => {
  while (length < count) {
    const { value, done } = await stdin.next();
    if (done) process.exit(0);
    chunks.push(value);
    length += value.length;
  }
  const all = Buffer.concat(chunks);
  chunks.splice(0, Infinity, all.subarray(count));
  length -= count;
  return all.subarray(0, count);
};

try {
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = readFileSync(binary);
  const session = await ort.InferenceSession.create(readFileSync(model));
  say({ ready: true });
  for (;;) {
    const head = await read(8);
    const shape = [head.readUInt32LE(0), head.readUInt32LE(4), 3];
    const image = new ort.Tensor("uint8", new Uint8Array(await read(shape[0] * shape[1] * 3)), shape);
    const { probabilities } = await session.run({ image });
    say({ row: Array.from(probabilities.data) });
  }
} catch (error) {
  say({ error: String(error.message ?? error) });
  process.exit(1);
}
