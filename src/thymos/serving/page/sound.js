// Sound: from the microphone, as a WAV file, as peaks to draw.

import { word } from "./words.js";

// The microphone as it is: what browsers do to please telephones (gain, noise, echo) would change how a voice sounds.
// `take` gets each block of samples; `lost` is called should the microphone be unplugged, or forbidden.
export async function openMicrophone(take, lost) {
  if (!navigator.mediaDevices) throw new Error(word("insecure"));
  let track, context;
  try {
    track = await navigator.mediaDevices.getUserMedia({ audio: { autoGainControl: false, noiseSuppression: false, echoCancellation: false, channelCount: 1 } });
    context = new AudioContext();
    await context.audioWorklet.addModule(new URL("capture.js", import.meta.url));
  } catch (error) {
    track?.getTracks().forEach((each) => each.stop());
    context?.close();
    throw new Error(word("noMicrophone") + (error.message || error.name));
  }
  for (const each of track.getTracks()) each.addEventListener("ended", lost);
  const node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
  node.port.onmessage = ({ data }) => take(data);
  context.createMediaStreamSource(track).connect(node);
  await context.resume();
  return {
    rate: context.sampleRate,
    close: async () => { track.getTracks().forEach((each) => each.stop()); node.port.onmessage = null; await context.close(); },
  };
}

// A WAV file of 16-bit samples.
export function wavOf(blocks, rate) {
  const length = blocks.reduce((sum, block) => sum + block.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * length));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * length, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true); view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true); text(36, "data"); view.setUint32(40, 2 * length, true);
  let at = 44;
  for (const block of blocks) for (const sample of block) { view.setInt16(at, Math.round(32767 * Math.max(-1, Math.min(1, sample))), true); at += 2; }
  return new Blob([view], { type: "audio/wav" });
}

export const levelDb = (block) => { let peak = 0; for (const sample of block) peak = Math.max(peak, Math.abs(sample)); return Math.max(-60, 20 * Math.log10(Math.max(peak, 1e-6))); };

const LARGEST = 60e6;

// Largest and smallest sample in each of `columns` parts, for each channel; null where this browser cannot decode it.
export async function peaksOf(blob, columns) {
  if (blob.size > LARGEST) return null;
  let buffer;
  try {
    buffer = await new OfflineAudioContext(1, 1, 8000).decodeAudioData(await blob.arrayBuffer());
  } catch { return null; }
  const channels = [];
  for (let c = 0; c < buffer.numberOfChannels; c += 1) {
    const samples = buffer.getChannelData(c), peaks = new Float32Array(2 * columns);
    for (let column = 0; column < columns; column += 1) {
      const from = Math.floor(column * samples.length / columns), to = Math.max(from + 1, Math.floor((column + 1) * samples.length / columns));
      let low = 0, high = 0;
      for (let i = from; i < to && i < samples.length; i += 1) { if (samples[i] < low) low = samples[i]; if (samples[i] > high) high = samples[i]; }
      peaks[2 * column] = low; peaks[2 * column + 1] = high;
    }
    channels.push(peaks);
  }
  return channels;
}
