// What dropout and alpha dropout do to mean and variance: companion/dropout.py and the
// chapter "Dropout that keeps the fixed point".
"use strict";
(() => {
  const explorables = (globalThis.explorables ??= {});

  // The a and b with which alpha dropout keeps a mean and a variance.
  function affine(rate, [mean, variance], { alpha, scale }) {
    const [q, dropped] = [1 - rate, -scale * alpha];
    const below = dropped - mean;
    const a = Math.sqrt(variance / (q * variance + q * rate * below * below));
    return { a, b: mean - a * (q * mean + rate * dropped) };
  }

  // Each kind of dropout takes a mean and a variance to those behind it, and its slopes
  // are the Jacobian of that.
  const none = {
    step: (state) => state,
    slopes: () => [
      [1, 0],
      [0, 1],
    ],
  };

  function plain(rate) {
    const q = 1 - rate;
    return {
      step: ([mean, variance]) => [mean, (variance + mean * mean) / q - mean * mean],
      slopes: ([mean]) => [
        [1, 0],
        [2 * mean * (1 / q - 1), 1 / q],
      ],
    };
  }

  // It keeps the point that it is told to keep, and changes others.
  function alphaDropout(rate, point, constants) {
    const [q, dropped] = [1 - rate, -constants.scale * constants.alpha];
    const { a, b } = affine(rate, point, constants);
    return {
      step: ([mean, variance]) => [
        a * (q * mean + rate * dropped) + b,
        a * a * (q * variance + q * rate * (dropped - mean) ** 2),
      ],
      slopes: ([mean]) => [
        [a * q, 0],
        [-2 * a * a * q * rate * (dropped - mean), a * a * q],
      ],
    };
  }

  explorables.dropout = { affine, none, plain, alpha: alphaDropout };
})();
