// Recognise and decode a file in the browser; a refusal is an error whose message is one line for the reader.

import { fill } from "./sentences.js";

const PNG_START = 8;
const TIFF_KINDS = ["TIFF", "DICOM", "video"]; // read by the page of a server alone
const COLORS_OF_JPEG = 9; // byte after a frame's marker that holds their number

export class Refusal extends Error {}

// Decode a file to {data, height, width, channels: 3} as the server does: levels as they are stored, turned upright.
export async function decode(file, bundle) {
  const { limits, sentences } = bundle;
  const refuse = (name, values = {}) => {
    throw new Refusal(fill(sentences[name], values));
  };
  if (!file.size) refuse("empty");
  if (file.size > limits.file_bytes) {
    refuse("too_many_bytes", { size: Math.ceil(file.size / 1e5) / 10, most: limits.file_bytes / 1e6 });
  }
  let bytes;
  try {
    bytes = new Uint8Array(await file.arrayBuffer());
  } catch {
    refuse("unreadable"); // a folder, or a file that has gone
  }
  const kind = recognise(bytes, bundle.kinds, refuse);
  if (TIFF_KINDS.includes(kind)) refuse("server_only", { kind });
  const header = { PNG: readPng, JPEG: readJpeg, BMP: readBmp }[kind](bytes);
  if (!header) refuse("damaged", { kind });
  if (header.isRare) refuse("rare", { kind });
  checkSize(header, limits, refuse);
  let bitmap;
  try {
    const options = { colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: "from-image" };
    bitmap = await createImageBitmap(new Blob([bytes], { type: `image/${kind.toLowerCase()}` }), options);
  } catch {
    refuse("damaged", { kind });
  }
  return pixelsOf(bitmap, refuse);
}

// Return the first 12 hex digits of the SHA-256 of a file's content, by which an answer is named; else its CRC-32, because
// browsers compute SHA-256 only for pages of this machine or of HTTPS.
export async function fingerprint(file) {
  if (!crypto.subtle) return checksum(new Uint8Array(await file.arrayBuffer())).toString(16).padStart(8, "0");
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return Array.from(new Uint8Array(digest).subarray(0, 6), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function recognise(bytes, { formats, video_boxes, photo_brands, others }, refuse) {
  const text = Array.from(bytes.subarray(0, 132), (byte) => String.fromCharCode(byte)).join("");
  if (text.slice(128) === "DICM") return "DICOM";
  for (const [start, kind] of formats) if (text.startsWith(start)) return kind;
  if (text.slice(4, 8) === "ftyp" && photo_brands.includes(text.slice(8, 12))) refuse("photo");
  if (video_boxes.includes(text.slice(4, 8)) || (text.startsWith("RIFF") && text.slice(8, 12) === "AVI ")) return "video";
  if (text.startsWith("RIFF") && text.slice(8, 12) === "WEBP") refuse("webp");
  const trimmed = text.replace(/^[\xef\xbb\xbf \r\n\t]+/, "");
  for (const [start, description] of others) {
    if (text.startsWith(start) || trimmed.startsWith(start)) refuse("other_kind", { description });
  }
  const isText = !bytes.subarray(0, 132).some((byte) => byte < 9);
  return refuse(isText ? "text_file" : "unknown_kind");
}

// Walk through the chunks with their checksums: a browser shows what it has of a cut file. Null if it is damaged.
function readPng(bytes) {
  const view = new DataView(bytes.buffer);
  let [place, header, isRare] = [PNG_START, null, false];
  while (place + 12 <= bytes.length) {
    const length = view.getUint32(place);
    const end = place + 8 + length;
    if (end + 4 > bytes.length || checksum(bytes.subarray(place + 4, end)) !== view.getUint32(end)) return null;
    const name = String.fromCharCode(...bytes.subarray(place + 4, place + 8));
    if (!header && name !== "IHDR") return null;
    if (name === "IHDR") {
      header = { width: view.getUint32(place + 8), height: view.getUint32(place + 12) };
      isRare = bytes[place + 16] > 8;
    }
    if (name === "acTL") isRare = true; // several images
    if (name === "IEND") return { ...header, isRare };
    place = end + 4;
  }
  return null;
}

// Read the size in the header of the frame; a JPEG without its end marker is cut off.
function readJpeg(bytes) {
  const view = new DataView(bytes.buffer);
  let end = bytes.length - 1;
  while (end > 2 && !(bytes[end - 1] === 0xff && bytes[end] === 0xd9)) end -= 1;
  if (end <= 2) return null;
  let place = 2;
  while (place + 9 < bytes.length) {
    if (bytes[place] !== 0xff) return null;
    const marker = bytes[place + 1];
    if (marker === 0xff) {
      place += 1;
      continue;
    }
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) {
      const isRare = marker > 0xc2 || bytes[place + 4] !== 8 || ![1, 3].includes(bytes[place + COLORS_OF_JPEG]);
      return { height: view.getUint16(place + 5), width: view.getUint16(place + 7), isRare };
    }
    if (marker === 0xda || marker === 0xd9) return null;
    place += 2 + view.getUint16(place + 2);
  }
  return null;
}

function readBmp(bytes) {
  if (bytes.length < 54) return null;
  const view = new DataView(bytes.buffer);
  const isRare = view.getUint32(14, true) < 40 || ![1, 4, 8, 24].includes(view.getUint16(28, true));
  const [width, height] = [view.getInt32(18, true), Math.abs(view.getInt32(22, true))];
  const isWhole = view.getUint32(30, true) !== 0 || bytes.length >= view.getUint32(10, true) + rowsOf(view, width, height);
  return isWhole ? { width, height, isRare } : null;
}

function rowsOf(view, width, height) {
  return Math.ceil((width * view.getUint16(28, true)) / 32) * 4 * height;
}

function checkSize({ width, height }, { least_side: least, longest_side: longest, pixels }, refuse) {
  if (Math.min(width, height) < least) refuse("too_small", { width, height, least });
  if (Math.max(width, height) > longest) refuse("too_long", { width, height, longest });
  if (width * height > pixels) refuse("too_many_pixels", { width, height, most: pixels / 1e6 });
}

function pixelsOf(bitmap, refuse) {
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(width * height * 3);
  for (let [from, to] = [0, 0]; to < data.length; from += 4, to += 3) {
    if (rgba[from + 3] < 255) refuse("transparent"); // a canvas does not keep the colour below
    data[to] = rgba[from];
    data[to + 1] = rgba[from + 1];
    data[to + 2] = rgba[from + 2];
  }
  return { data, height, width, channels: 3 };
}

const CRC = Int32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function checksum(bytes) {
  let value = -1;
  for (const byte of bytes) value = CRC[(value ^ byte) & 255] ^ (value >>> 8);
  return (value ^ -1) >>> 0;
}
