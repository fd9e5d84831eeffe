// What theory foretells for an infinitely wide net: chapter "Initialization", the map of
// the mean square, and chapter "Vanishing and exploding gradients", the factor chi.
"use strict";
(() => {
  const explorables = (globalThis.explorables ??= {});
  const { activations, initializers } = explorables;
  const { density } = explorables.normal;

  // Quadrature over N(0, 1): t = exp(u - exp(-u)) on each side of 0, where activations
  // have their kinks, and equal steps in u.  The nodes crowd towards 0, so that it stays
  // exact to 10 digits or more for functions that change within a hundredth, or a million.
  const [nodes, weights] = [[], []];
  for (let u = -4; u < 3; u += 1 / 32) {
    const t = Math.exp(u - Math.exp(-u));
    const weight = (t * (1 + Math.exp(-u)) * density(t)) / 32;
    nodes.push(-t, t);
    weights.push(weight, weight);
  }

  // E f(s t) for t from N(0, 1).
  function expectation(f, s = 1) {
    let sum = 0;
    for (let i = 0; i < nodes.length; i++) sum += weights[i] * f(s * nodes[i]);
    return sum;
  }

  // The mean square and the mean of each layer's outputs, from the inputs on, and the
  // norm of the gradient over that at the top.  c is n times the variance of a weight.
  function predict({ activation, c, inputMeanSquare, depth }) {
    const { f, slope } = activations[activation];
    const layers = [{ meanSquare: inputMeanSquare }];
    for (let l = 1; l <= depth; l++) {
      const s = Math.sqrt(c * layers[l - 1].meanSquare);
      layers.push({
        meanSquare: expectation((z) => f(z) ** 2, s),
        mean: expectation(f, s),
        chi: c * expectation((z) => slope(z) ** 2, s),
      });
    }
    layers[depth].gradient = 1;
    for (let l = depth - 1; l >= 1; l--) {
      layers[l].gradient = layers[l + 1].gradient * Math.sqrt(layers[l].chi);
    }
    return layers;
  }

  function predictFor({ activation, initializer, gain, depth, width, ...inputs }) {
    const { inputMean, inputStd, zeros } = inputs;
    return predict({
      activation,
      depth,
      c: gain * gain * initializers[initializer].scale(width),
      inputMeanSquare: (1 - zeros) * (inputMean * inputMean + inputStd * inputStd),
    });
  }

  explorables.meanField = { expectation, predict, predictFor };
})();
