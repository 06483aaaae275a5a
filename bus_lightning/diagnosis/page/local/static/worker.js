// Decode and diagnose images in a thread of their own, so that the page stays usable; nothing is sent anywhere.

import * as ort from "./ort.wasm.min.mjs";
import { Diagnoser } from "./diagnoser.js";
import { Refusal, decode, fingerprint } from "./file.js";

let isAsked = false; // whether an image already waits
const ready = open();

async function open() {
  const bundle = await (await fetchWhole("bundle.json")).json();
  ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? (bundle.threads ?? Math.min(navigator.hardwareConcurrency, 4)) : 1;
  const read = async (file) => new Uint8Array(await (await fetchWhole(file)).arrayBuffer());
  const diagnoser = await Diagnoser.open(ort, bundle, read);
  const blank = { data: new Uint8Array(3 * 64 * 64), height: 64, width: 64, channels: 3 };
  if (!isAsked) await diagnoser.diagnose(blank); // the first call of an engine takes longer
  return diagnoser;
}

async function fetchWhole(address) {
  const response = await fetch(new URL(address, import.meta.url));
  if (!response.ok) throw new Error(`${address}: ${response.status}`);
  return response;
}

async function answer(file) {
  const diagnoser = await ready;
  const image = await decode(file, diagnoser.bundle);
  const began = performance.now();
  const diagnosis = await diagnoser.diagnose(image);
  return { image, diagnosis, name: await fingerprint(file), milliseconds: performance.now() - began };
}

ready.then(
  () => self.postMessage({ kind: "ready" }),
  (error) => self.postMessage({ kind: "failed", reason: String(error.message ?? error) }),
);

self.addEventListener("message", async ({ data: { number, file } }) => {
  isAsked = true;
  try {
    const answered = await answer(file);
    const { image, diagnosis } = answered;
    const sent = [image, diagnosis.mask, diagnosis.heat && { data: diagnosis.heat }].filter(Boolean);
    self.postMessage({ kind: "answer", number, ...answered }, sent.map(({ data }) => data.buffer));
  } catch (error) {
    const line = error instanceof Refusal ? error.message : null;
    self.postMessage({ kind: "refusal", number, line, reason: String(error.message ?? error) });
  }
});
