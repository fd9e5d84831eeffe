// The map of mean and variance through a SELU layer, its Jacobian and its fixed point:
// companion/self_normalization.py, whose docstrings derive what is computed here.
"use strict";
(() => {
  const explorables = (globalThis.explorables ??= {});
  const { density, erfc, mills } = explorables.normal;

  const SMALL = 0.5; // standard deviations below it use a series, of so many terms:
  const TERMS = 36;

  // The two halves of z from N(m, v):
  //   density   of N(0, 1) at m / sqrt(v)
  //   positive  E[z^k; z > 0] for k = 0, 1, 2
  //   tilted    E[exp(kz); z < 0] for k = 0, 1, 2
  //   bent      E[(e^z - e^r)^k; z < 0] for k = 1, 2, with r = min(m, 0)
  function halves(m, v) {
    const s = Math.sqrt(v);
    const x = m / s;
    const d = density(x);
    const tilted = [0, 1, 2].map((k) => {
      const y = x + k * s;
      if (y >= 0) return d * mills(y)[0];
      return (Math.exp(k * m + (k * k * v) / 2) * erfc(y / Math.SQRT2)) / 2;
    });
    const e = Math.exp(Math.min(m, 0));
    const [e0, e1, e2] = tilted;
    // For a small variance these differences cancel, and a series does not.
    const [w1, w2] = s < SMALL ? series(m, s, e0, d) : [0, 0];
    const bent =
      s < SMALL ? [e * w1, e * e * w2] : [e1 - e * e0, e2 - 2 * e * e1 + e * e * e0];
    return { density: d, positive: positive(m, s, x, d), tilted, bent };
  }

  function positive(m, s, x, d) {
    if (x < 0) {
      const [k0, k1, k2] = mills(-x);
      return [d * k0, s * d * k1, 2 * s * s * d * k2];
    }
    const mass = erfc(-x / Math.SQRT2) / 2;
    return [mass, m * mass + s * d, (m * m + s * s) * mass + m * s * d];
  }

  // E[(e^w - 1)^k; z < 0] for k = 1, 2, where w = z - min(m, 0) is small.
  function series(m, s, mass, d) {
    const p = Math.max(m, 0);
    const q = Math.min(-Math.min(m, 0), 40 * s);
    let [before, power, first, second, factorial] = [0, mass, 0, 0, 1];
    for (let j = 1; j < TERMS; j++) {
      const next = p * power + (j - 1) * s * s * before - s * d * q ** (j - 1);
      [before, power, factorial] = [power, next, factorial * j];
      first += power / factorial;
      second += ((2 ** j - 2) * power) / factorial;
    }
    return [first, second];
  }

  // The halves, c = selu(m), E[f - c] and E[(f - c)^2], without the scale of SELU.
  function aboutC(m, v, alpha) {
    const z = halves(m, v);
    const p = Math.max(m, 0);
    const c = m > 0 ? m : alpha * Math.expm1(m);
    const [above1, above2] = above(z, m, v, c);
    const below1 = alpha * z.bent[0] - p * z.tilted[0];
    const below2 =
      alpha * alpha * z.bent[1] - 2 * p * alpha * z.bent[0] + p * p * z.tilted[0];
    return { z, c, first: above1 + below1, second: above2 + below2 };
  }

  // E[(z - c)^k; z > 0] for k = 1, 2.
  function above(z, m, v, c) {
    const [mass, first, second] = z.positive;
    const s = Math.sqrt(v);
    if (m > 0) return [s * z.density, v * (mass - (m / s) * z.density)]; // there c = m
    return [first - c * mass, second - 2 * c * first + c * c * mass];
  }

  // The mean and the variance after a layer.
  function moments([mean, variance], { omega, tau, alpha, scale }) {
    const { c, first, second } = aboutC(mean * omega, variance * tau, alpha);
    return [scale * (c + first), scale * scale * (second - first * first)];
  }

  // The rows are those of the outputs, the columns those of the inputs.
  function jacobian([mean, variance], { omega, tau, alpha, scale }) {
    const [m, v] = [mean * omega, variance * tau];
    const { z, c, first } = aboutC(m, v, alpha);
    const [e, p] = [Math.exp(Math.min(m, 0)), Math.max(m, 0)];
    const spike = ((1 - alpha) * z.density) / Math.sqrt(v);
    const slope = z.positive[0] + alpha * z.tilted[1];
    const bend = alpha * z.tilted[1] + spike;
    const slopeSquared = z.positive[0] + alpha * alpha * z.tilted[2];
    const below = alpha * (alpha * (z.bent[1] + e * z.bent[0]) - p * z.tilted[1]);
    const byMean = 2 * (above(z, m, v, c)[0] + below - first * slope);
    const byVariance = slopeSquared + below - c * spike - first * bend;
    return [
      [omega * scale * slope, (tau * scale * bend) / 2],
      [omega * scale * scale * byMean, tau * scale * scale * byVariance],
    ];
  }

  explorables.moments = moments;
  explorables.jacobian = jacobian;
})();
