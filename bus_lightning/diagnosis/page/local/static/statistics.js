// Describe an image by simple statistics, and compare them with those of the training images, as doubt.py does.

import { resizeArea, resizeLinear, roundHalfEven } from "./resize.js";

const SIDE = 192;
const BANDS = 8;
const LEVELS = 5;
const SAME = 0.95; // share of the pixels of a blank image

// Divide an image's distance from the training images by its threshold: above 1 it is another kind of image.
export function strangeness(image, reference) {
  const statistics = describe(image);
  const shifted = reference.statistics.map((name, k) => statistics[name] - reference.center[k]);
  let sum = 0;
  for (let column = 0; column < shifted.length; column++) {
    const value = shifted.reduce((total, difference, row) => total + difference * reference.whitening[row][column], 0);
    sum += value * value;
  }
  return Math.sqrt(sum) / reference.threshold;
}

// Check whether nearly all pixels have the same level.
export function isBlank({ data }) {
  const counts = new Float64Array(256);
  for (let k = 1; k < data.length; k += 3) counts[data[k]] += 1;
  return Math.max(...counts) >= (SAME * data.length) / 3;
}

export function describe(image) {
  const smooth = Math.min(image.height, image.width) > SIDE ? resizeArea : resizeLinear;
  const small = smooth(image, SIDE, SIDE).data;
  const grey = new Uint8Array(SIDE * SIDE);
  for (let k = 0; k < grey.length; k++) {
    grey[k] = (small[3 * k] * 9798 + small[3 * k + 1] * 19235 + small[3 * k + 2] * 3735 + 16384) >> 15;
  }
  const light = Float32Array.from(grey, (level) => level / 255);
  return { ...colors(small), ...greyLevels(grey), ...profiles(light), ...texture(light), ...speckle(light) };
}

function colors(data) {
  let [sum, many] = [0, 0];
  const pixels = data.length / 3;
  for (let k = 0; k < data.length; k += 3) {
    const difference = Math.max(data[k], data[k + 1], data[k + 2]) - Math.min(data[k], data[k + 1], data[k + 2]);
    sum += difference;
    many += difference > 25;
  }
  return { color_mean: logarithm(sum / pixels / 255, 0.002), color_share: logarithm(many / pixels, 0.001) };
}

function greyLevels(grey) {
  const shares = new Float64Array(256);
  for (const level of grey) shares[level] += 1 / grey.length;
  const below = Array.from(shares);
  for (let level = 1; level < 256; level++) below[level] += below[level - 1];
  const coarse = Array.from({ length: 64 }, (_, k) => total(shares.subarray(4 * k, 4 * k + 4)));
  const mean = total(shares.map((share, level) => (share * level) / 255));
  const statistics = {};
  for (const part of [5, 25, 50, 75, 95]) {
    const first = below.findIndex((share) => share >= part / 100 - 1e-9);
    statistics[`grey_${part}`] = (first < 0 ? 256 : first) / 255;
  }
  statistics.grey_deviation = Math.sqrt(total(shares.map((share, level) => share * (level / 255 - mean) ** 2)));
  statistics.black = logarithm(below[7], 0.01);
  statistics.white = logarithm(1 - below[247], 0.002);
  statistics.entropy = -total(coarse.map((share) => share * Math.log(share + 1e-9)));
  statistics.peak = logarithm(Math.max(...coarse), 1e-9);
  return statistics;
}

function profiles(light) {
  const depths = new Float64Array(BANDS);
  const across = new Float64Array(BANDS);
  const band = SIDE / BANDS;
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const level = light[y * SIDE + x] / (band * SIDE);
      depths[Math.floor(y / band)] += level;
      across[Math.floor(x / band)] += level;
    }
  }
  const mean = total(depths) / BANDS;
  const statistics = {};
  depths.forEach((depth, number) => {
    statistics[`depth_${number}`] = depth - mean;
  });
  statistics.across_deviation = Math.sqrt(total(across.map((level) => (level - mean) ** 2)) / BANDS);
  statistics.across_asymmetry = total(across.map((level, k) => Math.abs(level - across[BANDS - 1 - k]))) / BANDS;
  return statistics;
}

function texture(whole) {
  const statistics = {};
  let [light, side] = [whole, SIDE];
  for (let number = 0; number < LEVELS; number++) {
    let [acrossSquared, downSquared, product, fourth, flat] = [0, 0, 0, 0, 0];
    for (let y = 0; y < side - 1; y++) {
      for (let x = 0; x < side - 1; x++) {
        const place = y * side + x;
        const across = Math.fround(light[place + 1] - light[place]);
        const down = Math.fround(light[place + side] - light[place]);
        acrossSquared += across * across;
        downSquared += down * down;
        product += across * down;
        fourth += down ** 4;
        flat += Math.fround(Math.abs(across) + Math.abs(down)) < 0.004;
      }
    }
    const size = (side - 1) ** 2;
    const steepAcross = acrossSquared / size + 1e-6;
    const steepDown = downSquared / size + 1e-6;
    statistics[`gradient_${number}`] = (Math.log(steepAcross) + Math.log(steepDown)) / 2;
    statistics[`layers_${number}`] = Math.log(steepDown / steepAcross);
    statistics[`slant_${number}`] = product / size / Math.sqrt(steepAcross * steepDown);
    statistics[`edges_${number}`] = logarithm(fourth / size, 1e-10) - 2 * Math.log(steepDown);
    statistics[`flat_${number}`] = logarithm(flat / size, 0.01);
    [light, side] = [halve(light, side), side / 2];
  }
  return statistics;
}

// Blur with the kernel 1 4 6 4 1, and keep every second row and column (pyrDown); the border mirrors.
function halve(light, side) {
  const half = side / 2;
  const at = (k) => (k < 0 ? -k : k >= side ? 2 * side - 2 - k : k);
  const across = new Float32Array(side * half);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < half; x++) across[y * half + x] = blur((k) => light[y * side + at(2 * x + k)]);
  }
  const small = new Float32Array(half * half);
  for (let y = 0; y < half; y++) {
    for (let x = 0; x < half; x++) small[y * half + x] = blur((k) => across[at(2 * y + k) * half + x]) / 256;
  }
  return small;
}

function blur(at) {
  return at(-2) + 4 * at(-1) + 6 * at(0) + 4 * at(1) + at(2);
}

function speckle(light) {
  const blocks = SIDE / 8;
  const [means, roughs] = [[], []];
  for (let block = 0; block < blocks * blocks; block++) {
    const start = Math.floor(block / blocks) * 8 * SIDE + (block % blocks) * 8;
    let [sum, squares] = [0, 0];
    for (let k = 0; k < 64; k++) {
      const level = light[start + (k >> 3) * SIDE + (k & 7)];
      sum += level / 64;
      squares += (level * level) / 64;
    }
    means.push(sum);
    roughs.push(Math.sqrt(Math.max(squares - sum * sum, 0)));
  }
  const contrast = roughs.map((rough, k) => rough / (means[k] + 0.05)).sort((a, b) => a - b);
  const statistics = {};
  for (const part of [25, 50, 90]) {
    statistics[`speckle_${part}`] = logarithm(contrast[roundHalfEven((part / 100) * (contrast.length - 1))], 0.005);
  }
  const a = centred(means.map((mean) => Math.log(mean + 0.02)));
  const b = centred(roughs.map((rough) => Math.log(rough + 0.004)));
  const dot = (first, second) => first.reduce((sum, value, k) => sum + value * second[k], 0);
  const size = Math.sqrt(dot(a, a) * dot(b, b));
  statistics.speckle_grows = size > 1e-3 ? dot(a, b) / size : 0;
  return statistics;
}

function centred(values) {
  const mean = total(values) / values.length;
  return values.map((value) => value - mean);
}

function total(values) {
  return values.reduce((sum, value) => sum + value, 0);
}

function logarithm(share, least) {
  return Math.log(share + least);
}
