// Measure an outlined lesion in pixels, as measurements.py does; the files read here state no size of a pixel.

import { roundHalfEven } from "./resize.js";

const LEAST_SHARE = 0.0005; // of the image's pixels; anything smaller is a speck

// Count the lesions of a mask {data, height, width} of 0 and 1, and measure the largest.
export function measure(mask) {
  const { height, width } = mask;
  const least = Math.max(1, roundHalfEven(LEAST_SHARE * height * width));
  const { labels, parts } = components(mask);
  const lesions = parts.filter((part) => part.area >= least);
  if (!lesions.length) return { lesions: 0, touchesBorder: false };
  const largest = lesions.reduce((best, part) => (part.area > best.area ? part : best));
  const { left, top, right, bottom, area, label } = largest;
  return {
    lesions: lesions.length,
    area,
    box: { top, left, height: bottom - top + 1, width: right - left + 1 },
    ...axes(hull(labels, width, largest, label)),
    touchesBorder: lesions.some(
      (part) => !part.left || !part.top || part.right === width - 1 || part.bottom === height - 1,
    ),
  };
}

// Label the 8-connected parts of a mask, in the order of their first pixels.
export function components({ data, height, width }) {
  const labels = new Int32Array(data.length);
  const parts = [];
  const waiting = [];
  for (let first = 0; first < data.length; first++) {
    if (!data[first] || labels[first]) continue;
    const part = { label: parts.length + 1, area: 0, left: width, top: height, right: 0, bottom: 0 };
    labels[first] = part.label;
    waiting.push(first);
    while (waiting.length) {
      const place = waiting.pop();
      const y = Math.floor(place / width);
      const x = place - y * width;
      part.area += 1;
      part.left = Math.min(part.left, x);
      part.right = Math.max(part.right, x);
      part.top = Math.min(part.top, y);
      part.bottom = Math.max(part.bottom, y);
      for (let row = Math.max(y - 1, 0); row <= Math.min(y + 1, height - 1); row++) {
        for (let column = Math.max(x - 1, 0); column <= Math.min(x + 1, width - 1); column++) {
          const other = row * width + column;
          if (data[other] && !labels[other]) {
            labels[other] = part.label;
            waiting.push(other);
          }
        }
      }
    }
    parts.push(part);
  }
  return { labels, parts };
}

// Find the convex hull of the corners of a part's pixels.
function hull(labels, width, { left, top, right, bottom }, label) {
  const points = [];
  for (let y = top; y <= bottom; y++) {
    const row = labels.subarray(y * width, (y + 1) * width);
    let first = left;
    while (first <= right && row[first] !== label) first += 1;
    let last = right;
    while (row[last] !== label) last -= 1;
    for (const x of [first - 0.5, last + 0.5]) points.push([x, y - 0.5], [x, y + 0.5]);
  }
  points.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const half = (ordered) => {
    const chain = [];
    for (const point of ordered) {
      while (chain.length > 1 && turn(chain.at(-2), chain.at(-1), point) <= 0) chain.pop();
      chain.push(point);
    }
    return chain.slice(0, -1);
  };
  return [...half(points), ...half(points.reverse())];
}

function turn([ax, ay], [bx, by], [cx, cy]) {
  return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
}

// Find the longest distance within a convex outline, the extent across it, and its direction in degrees.
function axes(corners) {
  let longest = [0, 0, -1];
  for (const [ax, ay] of corners) {
    for (const [bx, by] of corners) {
      const [x, y] = [ax - bx, ay - by];
      if (x * x + y * y > longest[2]) longest = [x, y, x * x + y * y];
    }
  }
  const [x, y] = longest;
  const length = Math.hypot(x, y);
  const across = corners.map(([cx, cy]) => (cy * x - cx * y) / length);
  const turned = 90 - (Math.atan2(-y, x) * 180) / Math.PI;
  return {
    longAxis: length,
    shortAxis: Math.max(...across) - Math.min(...across),
    direction: 90 - (((turned % 180) + 180) % 180),
  };
}
