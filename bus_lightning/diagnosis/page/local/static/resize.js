// Resize as OpenCV does, so that the networks see the same levels as on a server.
//
// An image is {data, height, width, channels}; its data are Uint8Array or Float32Array, row by row.

const SHORT = 2048; // OpenCV's fixed-point weights of 8-bit images have 11 bits

export function roundHalfEven(value) {
  const lower = Math.floor(value);
  const rest = value - lower;
  if (rest !== 0.5) return rest < 0.5 ? lower : lower + 1;
  return lower % 2 === 0 ? lower : lower + 1;
}

// Resize each axis separately: a shrinking axis is averaged over area, a growing axis is interpolated linearly.
export function resize(image, height, width) {
  const rows = Math.min(height, image.height);
  const columns = Math.min(width, image.width);
  let resized = image;
  if (rows !== image.height || columns !== image.width) resized = resizeArea(image, rows, columns);
  if (rows !== height || columns !== width) resized = resizeLinear(resized, height, width);
  return resized;
}

// Average over area; no axis may grow (INTER_AREA, 8 bits).
export function resizeArea(image, height, width) {
  const scaleY = 1 / (height / image.height);
  const scaleX = 1 / (width / image.width);
  if (isWhole(scaleY) && isWhole(scaleX)) return averageBlocks(image, height, width);
  const { data, channels } = image;
  const across = overlaps(image.width, width, scaleX);
  const down = overlaps(image.height, height, scaleY);
  const line = width * channels;
  const sums = new Float32Array(line);
  const buffer = new Float32Array(line);
  const out = new Uint8Array(height * line);
  let current = 0;
  for (const [target, source, weight] of down) {
    buffer.fill(0);
    const start = source * image.width * channels;
    for (const [x, from, share] of across) {
      const left = start + from * channels;
      for (let c = 0; c < channels; c++) buffer[x * channels + c] += Math.fround(data[left + c] * share);
    }
    if (target !== current) {
      store(sums, out, current * line);
      sums.fill(0);
      current = target;
    }
    for (let k = 0; k < line; k++) sums[k] += Math.fround(weight * buffer[k]);
  }
  store(sums, out, current * line);
  return { data: out, height, width, channels };
}

// Interpolate linearly between the nearest pixels (INTER_LINEAR, 8 bits or float).
export function resizeLinear(image, height, width) {
  const { data, channels } = image;
  const isFloat = data instanceof Float32Array;
  const across = neighbours(image.width, width, isFloat, true);
  const down = neighbours(image.height, height, isFloat, isFloat);
  const line = width * channels;
  const out = isFloat ? new Float32Array(height * line) : new Uint8Array(height * line);
  const kept = new Map(); // rows that are interpolated across
  const interpolate = (row) => {
    const ready = kept.get(row);
    if (ready) return ready;
    if (kept.size > 2) kept.delete(kept.keys().next().value);
    const values = new Float64Array(line);
    const start = row * image.width * channels;
    for (let x = 0; x < width; x++) {
      const left = start + across.first[x] * channels;
      const right = start + across.second[x] * channels;
      const [a, b] = isFloat ? [1 - across.share[x], across.share[x]] : fixed(across.share[x]);
      for (let c = 0; c < channels; c++) values[x * channels + c] = data[left + c] * a + data[right + c] * b;
    }
    kept.set(row, values);
    return values;
  };
  for (let y = 0; y < height; y++) {
    const upper = interpolate(down.first[y]);
    const lower = interpolate(down.second[y]);
    const [a, b] = isFloat ? [1 - down.share[y], down.share[y]] : fixed(down.share[y]);
    for (let k = 0; k < line; k++) {
      out[y * line + k] = isFloat
        ? upper[k] * a + lower[k] * b
        : (((a * (upper[k] >> 4)) >> 16) + ((b * (lower[k] >> 4)) >> 16) + 2) >> 2;
    }
  }
  return { data: out, height, width, channels };
}

// Take the nearest pixel (INTER_NEAREST_EXACT).
export function resizeNearest(image, height, width) {
  const out = new Uint8Array(height * width);
  const down = nearest(image.height, height);
  const across = nearest(image.width, width);
  for (let y = 0; y < height; y++) {
    const start = down[y] * image.width;
    for (let x = 0; x < width; x++) out[y * width + x] = image.data[start + across[x]];
  }
  return { data: out, height, width, channels: 1 };
}

function isWhole(scale) {
  return Math.abs(scale - Math.round(scale)) < Number.EPSILON;
}

// Both axes shrink by a whole number.
function averageBlocks(image, height, width) {
  const { data, channels } = image;
  const [down, across] = [image.height / height, image.width / width].map(Math.round);
  const share = Math.fround(1 / (down * across));
  const line = image.width * channels;
  const out = new Uint8Array(height * width * channels);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let dy = 0; dy < down; dy++) {
          const start = (y * down + dy) * line + x * across * channels + c;
          for (let dx = 0; dx < across; dx++) sum += data[start + dx * channels];
        }
        const isPair = down === 2 && across === 2; // OpenCV rounds halves up there
        out[(y * width + x) * channels + c] = isPair ? (sum + 2) >> 2 : roundHalfEven(Math.fround(sum * share));
      }
    }
  }
  return { data: out, height, width, channels };
}

// List [target, source, weight]: which source pixels a target pixel covers, and how much of it each fills.
function overlaps(from, to, scale) {
  const list = [];
  for (let target = 0; target < to; target++) {
    const start = target * scale;
    const end = start + scale;
    const cell = Math.min(scale, from - start);
    const last = Math.min(Math.floor(end), from - 1);
    const first = Math.min(Math.ceil(start), last);
    if (first - start > 1e-3) list.push([target, first - 1, Math.fround((first - start) / cell)]);
    for (let source = first; source < last; source++) list.push([target, source, Math.fround(1 / cell)]);
    if (end - last > 1e-3) list.push([target, last, Math.fround(Math.min(end - last, 1, cell) / cell)]);
  }
  return list;
}

// Of each target pixel: the nearest source pixel, by OpenCV's steps of 16 bits.
function nearest(from, to) {
  const step = Math.floor((from * 65536 + Math.floor(to / 2)) / to);
  const start = Math.floor(step / 2) - (from % 2);
  return Int32Array.from({ length: to }, (_, k) => Math.min(Math.floor((step * k + start) / 65536), from - 1));
}

// Of each target pixel: the two source pixels around it, and the share of the second.
function neighbours(from, to, isFloat, stopsAtBorder) {
  const scale = 1 / (to / from);
  const [first, second, share] = [new Int32Array(to), new Int32Array(to), new Float32Array(to)];
  for (let target = 0; target < to; target++) {
    const place = (target + 0.5) * scale - 0.5;
    const before = Math.floor(place);
    const isInside = before >= 0 && before < from - 1;
    first[target] = Math.min(Math.max(before, 0), from - 1);
    second[target] = Math.min(Math.max(before + 1, 0), from - 1);
    share[target] = isInside || !stopsAtBorder ? (isFloat ? place : Math.fround(place)) - before : 0;
  }
  return { first, second, share };
}

function fixed(share) {
  return [roundHalfEven(Math.fround(1 - share) * SHORT), roundHalfEven(share * SHORT)];
}

function store(sums, out, start) {
  for (let k = 0; k < sums.length; k++) out[start + k] = Math.min(Math.max(roundHalfEven(sums[k]), 0), 255);
}
