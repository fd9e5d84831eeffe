// Random weights, as in companion/initializers.py, for layers of n inputs and n units.
"use strict";
(() => {
  const explorables = (globalThis.explorables ??= {});

  // Of a square layer fan_in, fan_out and fan_avg are all n, and the variance is scale/n.
  const initializers = {
    lecun_normal: { label: "LeCun, normal", scale: () => 1 },
    lecun_uniform: { label: "LeCun, uniform", scale: () => 1, uniform: true },
    glorot_normal: { label: "Glorot, normal", scale: () => 1 },
    glorot_uniform: { label: "Glorot, uniform", scale: () => 1, uniform: true },
    he_normal: { label: "He, normal", scale: () => 2 },
    he_uniform: { label: "He, uniform", scale: () => 2, uniform: true },
    orthogonal: { label: "orthogonal", scale: () => 1, draw: orthogonal },
    pytorch_default: { label: "PyTorch's default", scale: () => 1 / 3, uniform: true },
    standard_normal: { label: "N(0, 1)", scale: (n) => n },
  };

  // n * n weights, row by row: a row holds the weights of one input.
  function draw(name, n, rng) {
    const { scale, uniform, draw } = initializers[name];
    if (draw) return draw(n, rng);
    const std = Math.sqrt(scale(n) / n);
    if (!uniform) return rng.normals(n * n).map((t) => std * t);
    const limit = Math.sqrt(3) * std;
    return new Float64Array(n * n).map(() => limit * (2 * rng.uniform() - 1));
  }

  // Gram and Schmidt: each row of a normal matrix loses what it shares with those before.
  function orthogonal(n, rng) {
    const w = rng.normals(n * n);
    const rows = Array.from({ length: n }, (_, i) => w.subarray(i * n, (i + 1) * n));
    rows.forEach((row, i) => {
      for (let k = 0; k < i; k++) subtract(row, rows[k], dot(row, rows[k]));
      const norm = Math.sqrt(dot(row, row));
      for (let j = 0; j < n; j++) row[j] /= norm;
    });
    return w;
  }

  function dot(a, b) {
    let sum = 0;
    for (let j = 0; j < a.length; j++) sum += a[j] * b[j];
    return sum;
  }

  function subtract(a, b, factor) {
    for (let j = 0; j < a.length; j++) a[j] -= factor * b[j];
  }

  explorables.initializers = initializers;
  explorables.drawWeights = draw;
})();
