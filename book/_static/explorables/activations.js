// Activation functions and their derivatives, as in companion/activations.py.
"use strict";
(() => {
  const explorables = (globalThis.explorables ??= {});
  const { cdf, density } = explorables.normal;

  const SELU_ALPHA = 1.6732632423543772;
  const SELU_SCALE = 1.0507009873554805;

  function logistic(z) {
    const e = Math.exp(-Math.abs(z)); // never overflows
    return z >= 0 ? 1 / (1 + e) : e / (1 + e);
  }

  // Each is [label, f, f'].  At a kink the derivative is the one from the left.
  const activations = {
    linear: ["linear", (z) => z, () => 1],
    logistic: [
      "logistic",
      logistic,
      (z) => {
        const e = Math.exp(-Math.abs(z));
        return e / ((1 + e) * (1 + e));
      },
    ],
    tanh: [
      "tanh",
      Math.tanh,
      (z) => {
        const e = Math.exp(-2 * Math.abs(z));
        return (4 * e) / ((1 + e) * (1 + e));
      },
    ],
    relu: ["ReLU", (z) => Math.max(z, 0), (z) => (z > 0 ? 1 : 0)],
    leaky_relu: ["leaky ReLU", (z) => (z > 0 ? z : 0.01 * z), (z) => (z > 0 ? 1 : 0.01)],
    elu: ["ELU", (z) => (z > 0 ? z : Math.expm1(z)), (z) => (z > 0 ? 1 : Math.exp(z))],
    selu: [
      "SELU",
      (z) => SELU_SCALE * (z > 0 ? z : SELU_ALPHA * Math.expm1(z)),
      (z) => SELU_SCALE * (z > 0 ? 1 : SELU_ALPHA * Math.exp(z)),
    ],
    softplus: [
      "softplus",
      (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))),
      logistic,
    ],
    gelu: ["GELU", (z) => z * cdf(z), (z) => cdf(z) + z * density(z)],
    silu: ["SiLU", (z) => z * logistic(z), (z) => logistic(z) * (1 + z * logistic(-z))],
  };

  // The largest slope, on the grid of companion.diagnostics: a slope below 5 % of it
  // counts as saturated.
  function steepest(slope) {
    let largest = 0;
    for (let i = 0; i <= 200; i++) {
      largest = Math.max(largest, Math.abs(slope(-5 + i / 20)));
    }
    return largest;
  }

  explorables.activations = Object.fromEntries(
    Object.entries(activations).map(([name, [label, f, slope]]) => [
      name,
      { label, f, slope, saturatedBelow: 0.05 * steepest(slope) },
    ]),
  );
  Object.assign(explorables, { SELU_ALPHA, SELU_SCALE });
})();
