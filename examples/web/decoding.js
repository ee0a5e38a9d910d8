// A file's sound, channel by channel. The browser decodes it; since browsers resample each in its own way, it does so at the
// file's own rate, where its first bytes tell that.

export const RATE_HZ = 16_000; // at which sound is decoded whose rate is not told
const MPEG_RATES = { 3: [44_100, 48_000, 32_000], 2: [22_050, 24_000, 16_000], 0: [11_025, 12_000, 8_000] };

// {rate, channels}: samples of each channel, at ±1. Throws where the browser knows no such sound.
export async function soundOf(blob) {
  const content = await blob.arrayBuffer(), rate = rateOf(new DataView(content)) ?? RATE_HZ;
  const sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(content);
  return { rate, channels: Array.from({ length: sound.numberOfChannels }, (_, channel) => sound.getChannelData(channel)) };
}

// Samples a second by the beginning of WAV, FLAC, Ogg and MP3; null where it is not told, or is none that a browser takes.
export function rateOf(view) {
  const rate = toldRate(view);
  return rate !== null && rate >= 8_000 && rate <= 96_000 ? rate : null;
}

function toldRate(view) {
  const word = (at, length) => Array.from({ length }, (_, i) => (at + i < view.byteLength ? String.fromCharCode(view.getUint8(at + i)) : "")).join("");
  try {
    if (word(0, 4) === "RIFF") {
      for (let at = 12; ; at += 8 + view.getUint32(at + 4, true) + view.getUint32(at + 4, true) % 2) if (word(at, 4) === "fmt ") return view.getUint32(at + 12, true);
    }
    if (word(0, 4) === "fLaC") return view.getUint32(18) >>> 12;
    if (word(0, 4) === "OggS") {
      const first = 27 + view.getUint8(26);
      if (word(first, 8) === "OpusHead") return 48_000;
      return word(first + 1, 6) === "vorbis" ? view.getUint32(first + 12, true) : null;
    }
    let at = 0;
    if (word(0, 3) === "ID3") at = 10 + [6, 7, 8, 9].reduce((size, i) => size * 128 + (view.getUint8(i) & 127), 0);
    if ((view.getUint16(at) & 0xffe0) === 0xffe0) return MPEG_RATES[view.getUint8(at + 1) >> 3 & 3]?.[view.getUint8(at + 2) >> 2 & 3] ?? null;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // it ends before it tells
  }
  return null;
}
