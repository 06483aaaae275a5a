// Draw the image, the heat map and the outline on canvases that lie over each other.

const SIDE = 1000; // longest side of the picture on the page, in pixels
const HEAT_SIDE = 320;
const SIDE_PER_PIXEL = 220; // length of the shorter side for each pixel of the outline's thickness

// Returns the layers from the bottom: image, heat map, outline; without a heat map or an outline, no layer.
export function drawLayers({ image, diagnosis }, colors) {
  const { height, width } = image;
  const scale = Math.min(1, SIDE / Math.max(height, width));
  const size = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  const layers = [drawPixels(height, width, size, (rgba) => paintImage(rgba, image.data))];
  if (diagnosis.heat) layers.push(drawHeat(diagnosis.heat, height, width, colors.heat));
  if (diagnosis.mask) layers.push(drawOutline(diagnosis.mask, colors.outline));
  return layers;
}

function makeCanvas(width, height) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  return canvas;
}

function drawPixels(height, width, size, paint) {
  const whole = makeCanvas(width, height);
  const pixels = new ImageData(width, height);
  paint(pixels.data);
  whole.getContext("2d").putImageData(pixels, 0, 0);
  if (size[0] === width && size[1] === height) return whole;
  const canvas = makeCanvas(...size);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(whole, 0, 0, ...size);
  return canvas;
}

function paintImage(rgba, data) {
  for (let [from, to] = [0, 0]; from < data.length; from += 3, to += 4) {
    rgba[to] = data[from];
    rgba[to + 1] = data[from + 1];
    rgba[to + 2] = data[from + 2];
    rgba[to + 3] = 255;
  }
}

function drawHeat(heat, height, width, colors) {
  const scale = Math.min(1, HEAT_SIDE / Math.max(height, width));
  const size = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  const canvas = drawPixels(height, width, size, (rgba) => paintHeat(rgba, heat, colors));
  canvas.className = "heat";
  return canvas;
}

// The hotter, the more opaque.
function paintHeat(rgba, heat, colors) {
  for (let k = 0; k < heat.length; k++) {
    const value = Math.min(Math.max(heat[k], 0), 1);
    rgba.set(colors[Math.floor(value * 255)], 4 * k);
    rgba[4 * k + 3] = Math.round(255 * value);
  }
}

// A dark rim makes the line stand out from bright tissue and from the heat; a small image gets a fine line, too.
function drawOutline(mask, color) {
  const scale = SIDE / Math.max(mask.height, mask.width);
  const size = [Math.max(1, Math.round(mask.width * scale)), Math.max(1, Math.round(mask.height * scale))];
  const canvas = makeCanvas(...size);
  const context = canvas.getContext("2d");
  const path = new Path2D();
  for (const points of outlinesOf(mask)) {
    points.forEach(([x, y], k) => path[k ? "lineTo" : "moveTo"](x * scale, y * scale));
    path.closePath();
  }
  const thickness = Math.max(1, Math.round(Math.min(...size) / SIDE_PER_PIXEL));
  context.lineJoin = "round";
  for (const [width, style] of [[thickness + 2, "black"], [thickness, `rgb(${color.join(" ")})`]]) {
    Object.assign(context, { lineWidth: width, strokeStyle: style });
    context.stroke(path);
  }
  return canvas;
}

// Follow the sides between lesion and ground, with the lesion on the right; holes, which turn the other way, are left out.
function outlinesOf({ data, height, width }) {
  const isLesion = (x, y) => x >= 0 && y >= 0 && x < width && y < height && data[y * width + x] === 1;
  const seen = new Uint8Array(data.length); // upper sides that have been followed
  const outlines = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!isLesion(x, y) || isLesion(x, y - 1) || seen[y * width + x]) continue;
      const points = follow(x, y, isLesion, (column, row) => {
        seen[row * width + column] = 1;
      });
      if (areaOf(points) > 0) outlines.push(points);
    }
  }
  return outlines;
}

// Walk from the upper side of a pixel, and return the middles of the sides.
function follow(startX, startY, isLesion, mark) {
  let [x, y, dx, dy] = [startX, startY, 1, 0]; // a corner, and the direction in which the walk leaves it
  const points = [];
  do {
    if (dx === 1) mark(x, y);
    points.push([x + dx / 2, y + dy / 2]);
    [x, y] = [x + dx, y + dy];
    const [leftX, leftY] = [dy, -dx];
    const ahead = (sideX, sideY) => isLesion(x + (dx + sideX - 1) / 2, y + (dy + sideY - 1) / 2);
    if (ahead(leftX, leftY)) [dx, dy] = [leftX, leftY];
    else if (!ahead(-leftX, -leftY)) [dx, dy] = [-leftX, -leftY];
  } while (x !== startX || y !== startY || dx !== 1 || dy !== 0);
  return points;
}

function areaOf(points) {
  return points.reduce((sum, [x, y], k) => {
    const [nextX, nextY] = points[(k + 1) % points.length];
    return sum + x * nextY - nextX * y;
  }, 0);
}
