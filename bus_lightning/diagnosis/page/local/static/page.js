// The page: takes an image, lets the worker diagnose it in this browser, and shows the answer. drop.js runs before it.

import { showCard } from "./card.js";
import { drawLayers } from "./drawing.js";
import { make } from "./elements.js";
import { fill } from "./sentences.js";
import { describe } from "./words.js";

const byId = (id) => document.getElementById(id);
const drop = document.querySelector(".drop");
const slider = byId("strength").querySelector("input");
const hint = byId("answer").querySelector(".hint");
const worker = new Worker("worker.js", { type: "module" });
const opened = fetch("bundle.json").then((response) => response.json());
let bundle = null; // what the page says and shows, once it has come
let latest = 0; // number of the image that was given last
let unopened = null; // the line that says why there are no networks

// Do it when the bundle has come: a visitor may be faster.
function withBundle(act) {
  return async (...given) => {
    try {
      bundle ??= await opened;
    } catch {
      fail(byId("message").dataset.incomplete);
      return;
    }
    act(...given);
  };
}

function give(file) {
  send(begin(), file);
}

function refuse(files) {
  latest += 1; // an answer that is on its way would look like theirs
  fail(fill(bundle.sentences.several_files, { files }));
}

async function giveSample(address) {
  const number = begin(); // before it is fetched: an image that is given meanwhile comes later
  try {
    const response = await fetch(address);
    if (!response.ok) throw new Error(`${address}: ${response.status}`);
    send(number, await response.blob());
  } catch {
    if (number === latest) fail(bundle.sentences.sample_missing);
  }
}

function begin() {
  latest += 1;
  drop.classList.add("busy");
  byId("answer").ariaBusy = "true";
  byId("loading")?.replaceChildren(bundle.sentences.working);
  return latest;
}

function send(number, file) {
  if (number !== latest) return;
  if (unopened) fail(unopened);
  else worker.postMessage({ number, file });
}

function hear({ data }) {
  if (data.kind === "ready" && !latest) byId("loading")?.replaceChildren();
  else if (data.kind === "failed") failToOpen(data.reason);
  else if (data.number === latest) {
    if (data.kind === "answer") show(data);
    else fail(data.line ?? unopened ?? fill(bundle.sentences.cannot_diagnose, data));
  }
}

function failToOpen(reason) {
  unopened = fill(bundle.sentences.cannot_open, { reason });
  fail(unopened);
}

function rest() {
  drop.classList.remove("busy");
  byId("answer").ariaBusy = "false";
}

function fail(line) {
  rest();
  for (const part of ["picture", "details"]) byId(part).replaceChildren();
  byId("strength").hidden = true;
  byId("print").disabled = true;
  byId("answer").replaceChildren(hint);
  byId("message").replaceChildren(make("p", { className: "failure", role: "alert" }, line));
  byId("message").scrollIntoView({ block: "nearest" });
}

function show(answered) {
  rest();
  const words = describe(answered, bundle);
  byId("message").replaceChildren();
  byId("picture").replaceChildren(showPicture(answered, words));
  byId("strength").hidden = !answered.diagnosis.heat;
  byId("answer").replaceChildren(...showAnswer(words));
  byId("details").replaceChildren(...showDetails(words));
  byId("print").disabled = false;
  document.body.dataset.milliseconds = Math.round(answered.milliseconds);
  const [part, block] = innerWidth <= 700 ? [".doubts", "start"] : [".picture", "nearest"];
  document.querySelector(part).scrollIntoView({ block });
}

function showPicture(answered, words) {
  const { height, width } = answered.image;
  const layers = make("div", { className: "layers", role: "img", ariaLabel: words.picture });
  layers.append(...drawLayers(answered, bundle.colors));
  layers.style.aspectRatio = `${width} / ${height}`;
  layers.style.maxWidth = `calc(72vh * ${(width / height).toFixed(4)})`;
  return make("figure", { className: "picture" }, layers, make("figcaption", {}, words.caption));
}

function showAnswer(words) {
  const { sentences } = bundle;
  const doubts = make(
    "section",
    { className: `doubts ${words.isDoubted ? "raised" : "none"}` },
    make("h2", {}, words.isDoubted ? sentences.doubts : sentences.without_doubts),
    make("ul", {}, ...words.doubts.map((doubt) => make("li", {}, doubt))),
  );
  const answer = make("section", {}, make("h2", { className: "answer" }, words.answer));
  if (words.probabilities.length) {
    const rows = words.probabilities.map(([name, share, value]) => {
      const bar = make("span");
      bar.style.width = `${(100 * value).toFixed(1)}%`;
      return make("tr", {}, heading(name), make("td", { className: "bar" }, bar), make("td", {}, share));
    });
    const caption = make("caption", {}, sentences.probabilities);
    answer.append(make("table", { className: "probabilities" }, caption, make("tbody", {}, ...rows)));
  }
  answer.append(make("p", { className: words.isFlagged ? "flagged" : "unflagged" }, words.malignant));
  return [doubts, answer];
}

function showDetails(words) {
  const rows = words.measurements.map(([label, value]) => make("tr", {}, heading(label), make("td", {}, value)));
  const table = make("table", { className: "sizes" }, make("tbody", {}, ...rows));
  const notes = words.notes.map((note) => make("p", { className: "small" }, note));
  const calibration = words.calibration ? [make("section", {}, make("p", {}, words.calibration))] : [];
  const measured = make("section", {}, make("h2", {}, bundle.sentences.measurements), table);
  return [...calibration, measured, make("section", {}, ...notes)];
}

function heading(text) {
  return make("th", { scope: "row" }, text);
}

worker.addEventListener("message", withBundle(hear));
worker.addEventListener("error", withBundle((event) => failToOpen(event.message ?? "")));
takeFiles(drop, withBundle(give), withBundle(refuse));
for (const button of document.querySelectorAll("[data-sample]")) {
  button.addEventListener("click", withBundle(() => giveSample(bundle.samples[button.dataset.sample])));
}
slider.addEventListener("input", () => document.documentElement.style.setProperty("--strength", slider.value));
byId("print").addEventListener("click", () => print());
withBundle(() => showCard(byId("card").querySelector("div"), bundle.card))();
