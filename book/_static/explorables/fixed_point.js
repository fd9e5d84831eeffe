// Fixed points of a map of the plane: companion.self_normalization.fixed_point.
"use strict";
(() => {
  const explorables = (globalThis.explorables ??= {});

  const [VANISHED, EXPLODED] = [1e-9, 1e9]; // where the search gives up

  // One map after another, with the Jacobian of the whole.
  function chain(first, second) {
    return {
      step: (state) => second.step(first.step(state)),
      slopes: (state) => product(second.slopes(first.step(state)), first.slopes(state)),
    };
  }

  function product(a, b) {
    return a.map((row) => [0, 1].map((j) => row[0] * b[0][j] + row[1] * b[1][j]));
  }

  // The largest size of an eigenvalue: below 1, the map brings near what is near.
  function spectralRadius([[a, b], [c, d]]) {
    const [half, determinant] = [(a + d) / 2, a * d - b * c];
    const square = half * half - determinant;
    if (square < 0) return Math.sqrt(determinant); // two complex ones, of this size
    return Math.abs(half) + Math.sqrt(square);
  }

  // The map is applied 200 times from (0, 1), and ten of Newton's steps do the rest.
  // Returns the point and how it was found: "stable", "unstable" (found, but the map
  // leaves it), "vanishes", "explodes" or "restless".
  function fixedPoint({ step, slopes }) {
    let state = [0, 1];
    let change = [0, 0];
    for (let i = 0; i < 210; i++) {
      const next = step(state);
      change = [next[0] - state[0], next[1] - state[1]];
      if (i >= 200) change = newton(slopes(state), change);
      const [mean, variance] = [state[0] + change[0], state[1] + change[1]];
      if (!(variance > VANISHED)) return { state, kind: "vanishes" };
      if (!(Math.abs(mean) < EXPLODED && variance < EXPLODED)) {
        return { state, kind: "explodes" };
      }
      state = [mean, variance];
    }
    const rests = change.every((c, i) => Math.abs(c) <= 1e-12 * (1 + Math.abs(state[i])));
    const radius = spectralRadius(slopes(state));
    if (!rests) return { state, kind: "restless" };
    return { state, radius, kind: radius < 1 ? "stable" : "unstable" };
  }

  // Solves (J - 1) step = -change.
  function newton([[a, b], [c, d]], [x, y]) {
    const determinant = (a - 1) * (d - 1) - b * c;
    return [(-x * (d - 1) + y * b) / determinant, (-y * (a - 1) + x * c) / determinant];
  }

  // The start and n layers more.
  function iterate({ step }, start, n) {
    const states = [start];
    for (let i = 0; i < n; i++) states.push(step(states[i]));
    return states;
  }

  explorables.maps = { chain, spectralRadius, fixedPoint, iterate };
})();
