// The normal distribution: erfc, its density, and Mills' ratio with its relatives.
// The same scheme as in companion/_half_normal.py, whose docstrings derive it.
"use strict";
(() => {
  const explorables = (globalThis.explorables ??= {});

  const SWITCH = 2.5; // from there on Mills' ratio is a continued fraction of so many steps:
  const STEPS = 80; // its error is near exp(-1.6 * 2.5 * sqrt(80))
  const RECIPROCAL = Float64Array.from({ length: 200 }, (_, n) => 1 / n);

  const density = (x) => Math.exp(-(x * x) / 2) / Math.sqrt(2 * Math.PI);

  // K_j / K_{j-1} for j = 0, 1, 2, where K_j(y) is the integral over t > 0 of
  // t^j exp(-yt - t^2/2), divided by j!.  K_0 is Mills' ratio, K_{-1} = 1.
  function neighbors(y) {
    let [r0, r1, r2] = [0, 0, 0];
    for (let j = STEPS; j >= 0; j--) [r0, r1, r2] = [1 / (y + (j + 1) * r0), r0, r1];
    return [r0, r1, r2];
  }

  // For small x the power series of erf, whose terms are all positive; further out the
  // continued fraction.  Both are right to about 14 digits of erfc itself.
  function erfc(x) {
    if (Number.isNaN(x)) return NaN;
    if (x < 0) return 2 - erfc(-x);
    const y = x * Math.SQRT2;
    if (y >= SWITCH) {
      if (x > 28) return 0; // below the smallest number there is
      return 2 * density(y) * neighbors(y)[0];
    }
    let term = (2 * x * Math.exp(-x * x)) / Math.sqrt(Math.PI);
    let erf = 0;
    for (let n = 3; term > 1e-17 * erf; n += 2) {
      erf += term;
      term *= 2 * x * x * RECIPROCAL[n];
    }
    return 1 - erf;
  }

  const cdf = (x) => erfc(-x / Math.SQRT2) / 2;

  // K_0, K_1, K_2 for y >= 0: by recurrence from erfc where that does not cancel.
  function mills(y) {
    if (y >= SWITCH) {
      const [r0, r1, r2] = neighbors(y);
      return [r0, r0 * r1, r0 * r1 * r2];
    }
    const k0 = Math.sqrt(Math.PI / 2) * Math.exp((y * y) / 2) * erfc(y / Math.SQRT2);
    const k1 = 1 - y * k0;
    return [k0, k1, (k0 - y * k1) / 2];
  }

  explorables.normal = { density, erfc, cdf, mills };
})();
