// How long everything takes. SCALE=0.1 makes it ten times faster, SEED=1 the same each time.

// xorshift32: numbers from 0 to 1.
function seededRandom(seed) {
  let x = seed >>> 0 || 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    x >>>= 0;
    return x / 2 ** 32;
  };
}

// A number from the environment; not set and set to nothing are the same.
function number(text, otherwise) {
  return text === undefined || text === '' ? otherwise : Number(text);
}

/** @param env - `SCALE` and `SEED` are looked at */
export function settingsFrom(env) {
  const scale = number(env.SCALE, 1);
  const seed = number(env.SEED, null);
  if (!(scale > 0)) throw new RangeError(`SCALE must be a number above 0, got ${env.SCALE}`);
  if (Number.isNaN(seed)) throw new RangeError(`SEED must be a number, got ${env.SEED}`);
  const random = seed === null ? Math.random : seededRandom(seed);
  const scaled = (ms) => Math.round(ms * scale);
  return {
    latencyMs: () => scaled(500 + 1500 * random()),
    limitMs: scaled(2500),
    // Both are shorter than the fastest service.
    tightLimitMs: scaled(250),
    patienceMs: scaled(300),
  };
}
