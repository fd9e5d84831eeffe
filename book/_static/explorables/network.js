// A deep net of equally wide dense layers without biases: what its layers do to a signal
// on its way up and to a gradient on its way down.
"use strict";
(() => {
  const explorables = (globalThis.explorables ??= {});
  const { activations, drawWeights, generator } = explorables;

  // N(mean, std^2), and a share of them set to 0.
  function drawInputs(rows, { width, seed, inputMean, inputStd, zeros }) {
    const rng = generator(seed, 1);
    const x = rng.normals(rows * width).map((t) => inputMean + inputStd * t);
    return x.map((value) => (rng.uniform() < zeros ? 0 : value));
  }

  // Weights of a seed are drawn layer by layer, so that a deeper net has those of a less
  // deep one; what was drawn last is kept, for a gain or an activation that changes.
  const drawn = { key: "", rng: null, weights: [] };
  function weightsOf({ initializer, width, seed, depth }) {
    const key = [initializer, width, seed].join();
    if (key !== drawn.key)
      Object.assign(drawn, { key, rng: generator(seed, 2), weights: [] });
    while (drawn.weights.length < depth) {
      drawn.weights.push(drawWeights(initializer, width, drawn.rng));
    }
    return drawn.weights.slice(0, depth);
  }

  // gain * h W, where h holds rows of n numbers.
  function timesWeights(h, w, n, gain) {
    const z = new Float64Array(h.length);
    for (let row = 0; row < h.length; row += n) {
      for (let k = 0; k < n; k++) {
        const factor = gain * h[row + k];
        for (let j = 0, at = k * n; j < n; j++) z[row + j] += factor * w[at + j];
      }
    }
    return z;
  }

  // gain * delta W^T.
  function timesTransposed(delta, w, n, gain) {
    const d = new Float64Array(delta.length);
    for (let row = 0; row < delta.length; row += n) {
      for (let k = 0; k < n; k++) {
        let sum = 0;
        for (let j = 0, at = k * n; j < n; j++) sum += delta[row + j] * w[at + j];
        d[row + k] = gain * sum;
      }
    }
    return d;
  }

  function norm(values) {
    let sum = 0;
    for (const value of values) sum += value * value;
    return Math.sqrt(sum);
  }

  function statistics(h) {
    let [sum, squares] = [0, 0];
    for (const value of h) sum += value;
    const mean = sum / h.length;
    for (const value of h) squares += (value - mean) * (value - mean);
    const variance = squares / h.length;
    return { mean, std: Math.sqrt(variance), meanSquare: variance + mean * mean };
  }

  // The share of outputs with a slope near 0, and that of units whose slope is 0 in each row.
  function flatShares(slopes, n, saturatedBelow) {
    const alive = new Uint8Array(n);
    let saturated = 0;
    for (let i = 0; i < slopes.length; i++) {
      const size = Math.abs(slopes[i]);
      if (size < saturatedBelow) saturated++;
      if (size > 0) alive[i % n] = 1;
    }
    const dead = alive.reduce((count, unit) => count - unit, n);
    return { saturated: saturated / slopes.length, dead: dead / n };
  }

  // The layers from the inputs (0) to the top, each with its outputs h, their statistics,
  // and the norm of the gradient by its z, for the gradient delta at the top.
  function run({ x, weights, gain, activation, delta }) {
    const { f, slope, saturatedBelow } = activations[activation];
    const n = Math.sqrt(weights[0].length);
    const layers = [{ h: x, ...statistics(x) }];
    for (const w of weights) {
      const z = timesWeights(layers.at(-1).h, w, n, gain);
      const h = z.map(f);
      const slopes = z.map(slope);
      const shares = flatShares(slopes, n, saturatedBelow);
      layers.push({ h, slopes, ...statistics(h), ...shares });
    }
    const top = layers.length - 1;
    for (let l = top; l >= 1; l--) {
      if (l < top) {
        delta = timesTransposed(delta, weights[l], n, gain);
        delta.forEach((value, i) => (delta[i] = value * layers[l].slopes[i]));
      }
      layers[l].gradient = norm(delta);
    }
    return layers;
  }

  const ROWS = 50;

  // The net of a page's settings, with a random gradient of norm 1 at the top.
  function simulate(settings) {
    const delta = generator(settings.seed, 3).normals(ROWS * settings.width);
    const length = norm(delta);
    return run({
      x: drawInputs(ROWS, settings),
      weights: weightsOf(settings),
      gain: settings.gain,
      activation: settings.activation,
      delta: delta.map((value) => value / length),
    });
  }

  explorables.network = { drawInputs, weightsOf, run, simulate };
})();
