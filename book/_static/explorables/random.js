// Random numbers that a seed fixes, which Math.random cannot.
"use strict";
(() => {
  const explorables = (globalThis.explorables ??= {});

  // The generator sfc32 of Chris Doty-Humphrey's PractRand.  Streams of one seed are as
  // good as independent.
  function generator(seed, stream = 0) {
    let [a, b, c, count] = [seed | 0, stream | 0, 0, 1];

    // Between 0 and 1, and neither of them.
    function uniform() {
      const sum = (a + b + count) | 0;
      count = (count + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = (((c << 21) | (c >>> 11)) + sum) | 0;
      return ((sum >>> 0) + 0.5) / 2 ** 32;
    }
    for (let i = 0; i < 15; i++) uniform(); // forgets how simple its start was

    // Marsaglia's polar method gives two at a time.
    let spare = null;
    function normal() {
      if (spare !== null) {
        const value = spare;
        spare = null;
        return value;
      }
      let u, v, square;
      do {
        u = 2 * uniform() - 1;
        v = 2 * uniform() - 1;
        square = u * u + v * v;
      } while (square >= 1 || square === 0);
      const factor = Math.sqrt((-2 * Math.log(square)) / square);
      spare = v * factor;
      return u * factor;
    }

    const normals = (n) => Float64Array.from({ length: n }, normal);
    return { uniform, normal, normals };
  }

  explorables.generator = generator;
})();
