// From an image to a diagnosis: outline, classify, explain, measure, doubt, as diagnoser.py and doubt.py do.

import { measure } from "./measure.js";
import { Member, meanHeat, meanMask, meanOfLogs } from "./members.js";
import { isBlank, strangeness } from "./statistics.js";

const LESION = 0.5; // probability of a lesion pixel
const [HEALTHY, MALIGNANT] = ["normal", "malignant"];

export class Diagnoser {
  // Open the networks of a bundle; `read` gives the bytes of one.
  static async open(ort, bundle, read) {
    const options = { executionProviders: ["wasm"] };
    const members = [];
    for (const network of bundle.networks) {
      const session = await ort.InferenceSession.create(await read(network.file), options);
      members.push(new Member(ort, network, bundle.classes, session));
    }
    const diagnoser = new Diagnoser();
    diagnoser.bundle = bundle;
    diagnoser.outliners = members.filter(({ network }) => network.outputs.includes("mask"));
    diagnoser.classifiers = members.filter(({ network }) => !network.outputs.includes("mask"));
    return diagnoser;
  }

  // Diagnose an image {data, height, width, channels: 3}.
  async diagnose(image) {
    const { bundle } = this;
    const { height, width } = image;
    const everyone = await predictAll(this.outliners, image, null);
    const mask = everyone.length ? outline(everyone, bundle.least_score, height, width) : null;
    everyone.push(...(await predictAll(this.classifiers, image, mask)));
    const classified = everyone.filter(({ logs }) => logs);
    const diagnosis = { mask, heat: null, answer: null, probabilities: [], flagged: null };
    diagnosis.measurements = mask && measure(mask);
    if (classified.length) {
      const logs = meanOfLogs(classified.map((predicted) => predicted.logs));
      const shares = softmax(logs.map((value) => value / (bundle.temperature ?? 1)));
      diagnosis.probabilities = bundle.classes.map((name, k) => [name, shares[k]]);
      diagnosis.answer = bundle.classes[shares.indexOf(Math.max(...shares))];
      const place = bundle.classes.indexOf(MALIGNANT);
      if (bundle.malignant && place >= 0) diagnosis.flagged = shares[place] >= bundle.malignant.threshold;
      diagnosis.heat = meanHeat(classified, diagnosis.answer, height, width);
    }
    diagnosis.strangeness = strangeness(image, bundle.reference);
    diagnosis.doubts = findDoubts(diagnosis, bundle, isBlank(image));
    return diagnosis;
  }
}

async function predictAll(members, image, mask) {
  const predicted = [];
  for (const member of members) predicted.push(await member.predict(image, mask));
  return predicted;
}

// Find the lesion; the no-lesion rule may leave none.
function outline(everyone, leastScore, height, width) {
  const score = everyone.reduce((total, predicted) => total + predicted.score, 0) / everyone.length;
  const data = new Uint8Array(height * width);
  if (score >= leastScore) {
    meanMask(everyone, height, width).forEach((share, k) => {
      data[k] = share >= LESION;
    });
  }
  return { data, height, width, channels: 1 };
}

// List the codes of the reasons not to trust an answer, and the values of their sentences, the most important first.
function findDoubts({ strangeness, probabilities, answer, flagged, measurements }, bundle, blank) {
  const probability = Math.max(...probabilities.map(([, share]) => share));
  const lesions = measurements?.lesions ?? 0;
  const checks = [
    [bundle.synthetic, "trained_on_synthetic"],
    [strangeness > 1, "not_ultrasound"],
    [blank, "blank"],
  ];
  if (answer !== null) {
    checks.push([probability < bundle.low_confidence, "low_confidence"]);
    checks.push([flagged && answer !== MALIGNANT, "malignant_not_excluded"]);
  }
  if (answer !== null && measurements) {
    checks.push([lesions > 0 && answer === HEALTHY, "lesion_but_normal"]);
    checks.push([lesions === 0 && answer !== HEALTHY, "no_lesion_but"]);
  }
  if (measurements) {
    checks.push([lesions > 1, "several_lesions"], [measurements.touchesBorder, "at_the_border"]);
  }
  return checks.filter(([isRaised]) => isRaised).map(([, code]) => ({ code, answer, probability, lesions }));
}

function softmax(logits) {
  const most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - most));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
