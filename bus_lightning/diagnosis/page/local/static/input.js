// Prepare an image for a network: crop, resize, draw the mask, normalise, as inputs.py and preprocess.py do.

import { resize, resizeArea, resizeLinear, resizeNearest, roundHalfEven } from "./resize.js";

// Compute where an image of this shape is in the network's square.
export function boxOf({ size, resize: rule }, height, width) {
  if (rule === "stretch") return { top: 0, left: 0, height: size, width: size };
  const scale = size / Math.max(height, width);
  const [rows, columns] = [height, width].map((side) => Math.max(1, roundHalfEven(side * scale)));
  return { top: Math.floor((size - rows) / 2), left: Math.floor((size - columns) / 2), height: rows, width: columns };
}

// Return what a network takes, (channels, size, size) in `values`, and the part and box that it saw.
export function prepare(network, image, mask) {
  const { preprocessing, overlay } = network;
  const drawn = overlay && mask ? mask : null;
  let part = { top: 0, left: 0, height: image.height, width: image.width };
  if (drawn && overlay.style === "crop") part = around(mask, overlay.margin);
  const seen = crop(image, part);
  const box = boxOf(preprocessing, part.height, part.width);
  const square = put(shrink(seen, box, preprocessing.rules), box, preprocessing.size);
  let marked = null;
  if (drawn && overlay.style !== "crop") {
    marked = put(resizeNearest(crop(mask, part), box.height, box.width), box, preprocessing.size);
    draw(square, marked, overlay);
  }
  return { values: normalise(network, square.data, marked), part, box };
}

function shrink(image, { height, width }, rules) {
  if (rules === 1) return (height < image.height ? resizeArea : resizeLinear)(image, height, width);
  return resize(image, height, width);
}

function crop(image, { top, left, height, width }) {
  if (height === image.height && width === image.width) return image;
  const { channels = 1 } = image;
  const data = new Uint8Array(height * width * channels);
  for (let y = 0; y < height; y++) {
    const start = ((top + y) * image.width + left) * channels;
    data.set(image.data.subarray(start, start + width * channels), y * width * channels);
  }
  return { data, height, width, channels };
}

function put(image, { top, left }, size) {
  const { data, height, width, channels } = image;
  const square = new Uint8Array(size * size * channels);
  for (let y = 0; y < height; y++) {
    square.set(data.subarray(y * width * channels, (y + 1) * width * channels), ((top + y) * size + left) * channels);
  }
  return { data: square, height: size, width: size, channels };
}

// Find the square around a lesion with a margin, limited to the image; without a lesion the whole image.
function around({ data, height, width }, margin) {
  let [top, bottom, left, right] = [height, -1, width, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!data[y * width + x]) continue;
      [top, bottom] = [Math.min(top, y), y];
      [left, right] = [Math.min(left, x), Math.max(right, x)];
    }
  }
  if (bottom < 0) return { top: 0, left: 0, height, width };
  const sides = [bottom - top + 1, right - left + 1];
  const half = Math.max(...sides) * (0.5 + margin);
  const bound = (start, side, whole) => {
    const centre = start + side / 2;
    return [Math.max(0, roundHalfEven(centre - half)), Math.min(whole, roundHalfEven(centre + half))];
  };
  const [first, last] = bound(top, sides[0], height);
  const [from, to] = bound(left, sides[1], width);
  return { top: first, left: from, height: last - first, width: to - from };
}

// Draw the mask into the square; `channel` is left to the normalisation.
function draw(square, marked, { style, color, alpha }) {
  if (style === "channel") return;
  const drawn = style === "contour" ? outline(marked) : marked.data;
  for (let place = 0; place < drawn.length; place++) {
    if (!drawn[place]) continue;
    for (let c = 0; c < 3; c++) {
      const level = square.data[3 * place + c];
      square.data[3 * place + c] = style === "fill" ? roundHalfEven(level * (1 - alpha) + color[c] * alpha) : color[c];
    }
  }
}

// Mark the pixels of a mask next to the ground around it, one pixel wide; holes have no outline.
function outline({ data, height, width }) {
  const [rows, columns] = [height + 2, width + 2];
  const ground = new Uint8Array(rows * columns); // with a border, from where it spreads
  const marked = new Uint8Array(data.length);
  const waiting = [0];
  ground[0] = 1;
  while (waiting.length) {
    const place = waiting.pop();
    const y = Math.floor(place / columns);
    const x = place - y * columns;
    for (const [row, column] of [[y - 1, x], [y + 1, x], [y, x - 1], [y, x + 1]]) {
      if (row < 0 || column < 0 || row >= rows || column >= columns) continue;
      const inside = row > 0 && column > 0 && row <= height && column <= width;
      const pixel = (row - 1) * width + column - 1;
      if (inside && data[pixel]) marked[pixel] = 1;
      else if (!ground[row * columns + column]) {
        ground[row * columns + column] = 1;
        waiting.push(row * columns + column);
      }
    }
  }
  return marked;
}

function normalise({ channels, mean, std }, rgb, marked) {
  const pixels = rgb.length / 3;
  const values = new Float32Array(channels * pixels);
  for (let c = 0; c < channels; c++) {
    const deviation = Math.fround(c < 3 ? std[c] : 0.5);
    const scale = Math.fround(1 / Math.fround(255 * deviation));
    const shift = Math.fround(Math.fround(c < 3 ? mean[c] : 0.5) / deviation);
    for (let k = 0; k < pixels; k++) {
      let level = c < 3 ? rgb[3 * k + c] : marked ? 255 * marked.data[k] : 0;
      if (channels === 1) level = Math.fround(0.299 * rgb[3 * k] + 0.587 * rgb[3 * k + 1] + 0.114 * rgb[3 * k + 2]);
      values[c * pixels + k] = Math.fround(level * scale) - shift;
    }
  }
  return values;
}
