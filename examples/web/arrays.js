// NumPy's files: one array (.npy), and several in a zip without compression (.npz), as `numpy.savez` writes them.

const text = (view, at, length) => String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at, length));

// {shape, values}: float32, row by row; nothing else is in a model.
// Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
export function readNpy(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (text(view, 1, 5) !== "NUMPY") throw new Error("no array of NumPy");
  const wide = view.getUint8(6) > 1, from = wide ? 12 : 10, length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  const head = text(view, from, length), shape = head.match(/'shape': \(([^)]*)\)/)[1].split(",").map((word) => word.trim()).filter(Boolean).map(Number);
  if (!head.includes("'<f4'") || shape.length > 2) throw new Error("an array of another kind");
  const start = bytes.byteOffset + from + length, count = shape.reduce((product, size) => product * size, 1);
  const kept = new Float32Array(bytes.buffer.slice(start, start + 4 * count)), [rows, columns = 1] = shape;
  const byColumns = head.includes("'fortran_order': True");
  return { shape, values: byColumns ? kept.map((_, i) => kept[(i % columns) * rows + Math.floor(i / columns)]) : kept };
}

// Each array by its name. Source: APPNOTE 6.3.10, the zip format: the directory lies at the end, and says where each begins.
export function readNpz(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), arrays = {};
  let end = bytes.byteLength - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end -= 1;
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left -= 1) {
    if (view.getUint16(at + 10, true) !== 0) throw new Error("a compressed array");
    const size = view.getUint32(at + 24, true), name = view.getUint16(at + 28, true), begins = view.getUint32(at + 42, true);
    const from = begins + 30 + view.getUint16(begins + 26, true) + view.getUint16(begins + 28, true);
    arrays[text(view, at + 46, name).replace(/\.npy$/, "")] = readNpy(bytes.subarray(from, from + size));
    at += 46 + name + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return arrays;
}
