// Decodes and classifies images in a thread of its own, so that the page answers meanwhile.
import * as ort from "./ort.wasm.bundle.min.js";

let loaded = 0;
const load = async ({ name, bytes }) => {
  const answer = await fetch(name, { cache: "no-cache" }); // a browser must not mix two exports
  if (!answer.ok) throw new Error(`${name} must be beside the page, but the server answers ${answer.status}`);
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const reader = answer.body.getReader(); ;) {
    const { value, done } = await reader.read();
    if (done || at + value.length > bytes) break;
    whole.set(value, at);
    at += value.length;
    loaded += value.length;
    postMessage({ loaded });
  }
  if (at !== bytes) throw new Error(`${name} must have ${bytes} bytes, but the server sends others; copy it again`);
  return whole;
};

// What a browser decodes without a word, but not as the images were decoded that the model was trained on.
const text = (bytes, at, count) => String.fromCharCode(...bytes.subarray(at, at + count));
const turnedTag = (exif) => {
  const view = new DataView(exif.buffer, exif.byteOffset, exif.length);
  const little = text(exif, 0, 2) === "II";
  const directory = view.getUint32(4, little);
  for (let entry = 0; entry < view.getUint16(directory, little); entry += 1) {
    const at = directory + 2 + 12 * entry;
    if (view.getUint16(at, little) === 0x112) return view.getUint16(at + 8, little) > 1;
  }
  return false;
};
const jpeg = (bytes) => {
  const view = new DataView(bytes.buffer);
  for (let at = 2; at + 1 < bytes.length;) {
    const marker = bytes[at] === 0xff ? bytes[at + 1] : 0;
    if (marker === 0xd9) return null;
    const alone = marker < 2 || marker === 0xff || (marker >= 0xd0 && marker <= 0xd7);
    at += alone || at + 4 > bytes.length ? 1 : 2 + view.getUint16(at + 2);
  }
  return "must be a whole image, but is cut off";
};
const png = (bytes, intensity) => {
  if (bytes[24] === 16 && bytes[25] === 0 && intensity !== "dtype")
    return "must have 8 bits a channel: of its 16, a browser reads 8; use `graft predict`";
  const view = new DataView(bytes.buffer);
  for (let at = 8; at + 8 <= bytes.length; at += 12 + view.getUint32(at)) if (text(bytes, at + 4, 4) === "IEND") return null;
  return "must be a whole image, but is cut off";
};
const webp = (bytes) => {
  const view = new DataView(bytes.buffer);
  for (let at = 12; at + 8 <= bytes.length;) {
    const length = view.getUint32(at + 4, true);
    const begin = text(bytes, at + 8, 4) === "Exif" ? 14 : 8;
    if (text(bytes, at, 4) === "EXIF" && turnedTag(bytes.subarray(at + begin, at + 8 + length)))
      return "must stand upright: browsers do not turn a WebP as its EXIF note says; save it as PNG or JPEG";
    at += 8 + length + (length % 2);
  }
  return null;
};
const refusal = (bytes, intensity) => {
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return jpeg(bytes);
  if (text(bytes, 1, 3) === "PNG") return png(bytes, intensity);
  return text(bytes, 8, 4) === "WEBP" ? webp(bytes) : null;
};

const bitmapOf = async (file) => {
  try {
    // Colours as they are stored, as training read them.
    return await createImageBitmap(file, {
      colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: "from-image",
    });
  } catch {
    throw new Error(`${file.name} must be a whole image of a kind that this browser reads, such as PNG or JPEG`);
  }
};
const decoded = async (file, intensity) => {
  const why = refusal(new Uint8Array(await file.arrayBuffer()), intensity);
  if (why) throw new Error(`${file.name} ${why}`);
  const bitmap = await bitmapOf(file);
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  const drawn = () => {
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, width, height).data;
  };
  let pixels = drawn();
  let [least, most] = [255, 0];
  for (let i = 3; i < pixels.length; i += 4) {
    least = Math.min(least, pixels[i]);
    most = Math.max(most, pixels[i]);
  }
  if (most === 0) throw new Error(`${file.name} must show something, but is transparent; save it without transparency`);
  if (least < 255) {
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    pixels = drawn();
  }
  bitmap.close();
  const rgb = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
    rgb[to] = pixels[from];
    rgb[to + 1] = pixels[from + 1];
    rgb[to + 2] = pixels[from + 2];
  }
  return new ort.Tensor("uint8", rgb, [height, width, 3]);
};

let session = null;
const begin = async ({ files }) => {
  const [model, binary] = [await load(files.model), await load(files.binary)];
  ort.env.wasm.wasmBinary = binary;
  session = await ort.InferenceSession.create(model);
  postMessage({ ready: true });
};
const answer = async ({ id, file, intensity }) => {
  try {
    const image = await decoded(file, intensity);
    const { probabilities } = await session.run({ image });
    postMessage({ id, row: Array.from(probabilities.data) });
  } catch (error) {
    postMessage({ id, error: error.message ?? String(error) });
  }
};
let last = Promise.resolve();
onmessage = ({ data }) => {
  last = data.files
    ? begin(data).catch((error) => postMessage({ failed: `The model cannot run in this browser: ${error.message ?? error}` }))
    : last.then(() => answer(data));
};
