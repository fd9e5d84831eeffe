// Counting numbers in bins of equal width.
"use strict";
(() => {
  const explorables = (globalThis.explorables ??= {});

  // What lies outside counts in the first or the last bin.
  function histogram(values, low, high, bins) {
    const counts = new Array(bins).fill(0);
    const perUnit = bins / (high - low);
    for (const value of values) {
      const bin = Math.floor((value - low) * perUnit);
      counts[Math.max(0, Math.min(bin, bins - 1))]++;
    }
    return counts;
  }

  explorables.histogram = histogram;
})();
