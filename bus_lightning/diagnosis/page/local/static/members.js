// What one network predicts for an image, and the means over several networks, as members.py does.

import { prepare } from "./input.js";
import { resizeLinear } from "./resize.js";

const HEALTHY = "normal";

// A network of a bundle, ready to predict.
export class Member {
  constructor(ort, network, classes, session) {
    Object.assign(this, { ort, network, session });
    this.order = classes.map((name) => network.classes.indexOf(name));
    this.names = network.outputs.concat(network.head ? ["features"] : []);
  }

  // Predict an image; the mask is used if the network takes it.
  async predict(image, mask) {
    const { network } = this;
    const { size } = network.preprocessing;
    const { values, part, box } = prepare(network, image, mask);
    const batch = network.flips ? withMirrored(values, size) : values;
    const shape = [network.flips ? 2 : 1, network.channels, size, size];
    const input = new this.ort.Tensor("float32", batch, shape);
    const results = await this.session.run({ [this.session.inputNames[0]]: input });
    const outputs = {};
    this.names.forEach((name, k) => {
      outputs[name] = results[this.session.outputNames[k]];
    });
    const predicted = { network, part, box, height: image.height, width: image.width };
    if (outputs.mask) {
      const lesion = Float32Array.from(outputs.mask.data, (logit) => 0.5 * (1 + Math.tanh(0.5 * logit)));
      predicted.mask = meanOfSides(lesion, size, network.flips);
      predicted.score = predicted.mask.reduce((most, share) => Math.max(most, share), 0);
    }
    if (outputs.class) {
      const count = network.classes.length;
      const sides = [logSoftmax(outputs.class.data.slice(0, count))];
      if (network.flips) sides.push(logSoftmax(outputs.class.data.slice(count)));
      const logs = meanOfLogs(sides);
      const healthy = network.classes.indexOf(HEALTHY);
      if (outputs.mask && healthy >= 0) predicted.score *= 1 - Math.exp(logs[healthy]);
      predicted.logs = this.order.map((place) => logs[place]);
    }
    if (outputs.features) {
      const [, channels, height, width] = outputs.features.dims;
      const maps = meanOfSides(outputs.features.data, width, network.flips);
      predicted.features = { data: maps, channels, height, width };
    }
    return predicted;
  }
}

// Average the probabilities of the masks at the image's own resolution.
export function meanMask(everyone, height, width) {
  const total = new Float32Array(height * width);
  for (const { mask, box, network } of everyone) {
    add(total, restore(mask, network.preprocessing.size, box, height, width));
  }
  return everyone.length > 1 ? total.map((share) => share / everyone.length) : total;
}

// Average the probabilities of several predictions; returns logarithms of the means.
export function meanOfLogs(lists) {
  return lists[0].map((_, k) => {
    const most = Math.max(...lists.map((logs) => logs[k]));
    const sum = lists.reduce((total, logs) => total + Math.exp(logs[k] - most), 0);
    return most + Math.log(sum) - Math.log(lists.length);
  });
}

// Average the class activation maps for a class at the image's own resolution; null without one.
export function meanHeat(everyone, name, height, width) {
  const maps = everyone.filter(({ features }) => features).map((predicted) => heatMap(predicted, name, height, width));
  if (maps.length < 2) return maps[0] ?? null;
  maps.slice(1).forEach((map) => add(maps[0], map));
  return upToOne(maps[0]);
}

function heatMap({ network, features, part, box }, name, height, width) {
  const weights = network.head[network.classes.indexOf(name)];
  const pixels = features.height * features.width;
  const heat = new Float32Array(pixels);
  for (let c = 0; c < features.channels; c++) {
    for (let k = 0; k < pixels; k++) heat[k] += weights[c] * features.data[c * pixels + k];
  }
  const coarse = { data: upToOne(heat.map((value) => Math.max(value, 0))), ...shapeOf(features), channels: 1 };
  const { size } = network.preprocessing;
  const square = resizeLinear(coarse, size, size).data;
  const inside = restore(square, size, box, part.height, part.width);
  if (part.height === height && part.width === width) return inside;
  const whole = new Float32Array(height * width);
  for (let y = 0; y < part.height; y++) {
    const row = inside.subarray(y * part.width, (y + 1) * part.width);
    whole.set(row, (part.top + y) * width + part.left);
  }
  return whole;
}

function shapeOf({ height, width }) {
  return { height, width };
}

function upToOne(heat) {
  const highest = heat.reduce((most, value) => Math.max(most, value), 0);
  return highest > 0 ? heat.map((value) => value / highest) : heat;
}

// Resize the box of a network's square to another shape.
function restore(square, size, { top, left, height, width }, rows, columns) {
  const inside = new Float32Array(height * width);
  for (let y = 0; y < height; y++) {
    const start = (top + y) * size + left;
    inside.set(square.subarray(start, start + width), y * width);
  }
  return resizeLinear({ data: inside, height, width, channels: 1 }, rows, columns).data;
}

function withMirrored(values, size) {
  const batch = new Float32Array(2 * values.length);
  batch.set(values);
  batch.set(mirror(values, size), values.length);
  return batch;
}

function meanOfSides(maps, width, isPair) {
  if (!isPair) return maps;
  const half = maps.length / 2;
  const mirrored = mirror(maps.subarray(half), width);
  return maps.subarray(0, half).map((value, k) => (value + mirrored[k]) / 2);
}

function mirror(values, width) {
  const mirrored = new Float32Array(values.length);
  for (let start = 0; start < values.length; start += width) {
    for (let x = 0; x < width; x++) mirrored[start + x] = values[start + width - 1 - x];
  }
  return mirrored;
}

function add(total, values) {
  for (let k = 0; k < total.length; k++) total[k] += values[k];
}

function logSoftmax(logits) {
  const most = Math.max(...logits);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - most), 0);
  return Array.from(logits, (logit) => logit - most - Math.log(sum));
}
