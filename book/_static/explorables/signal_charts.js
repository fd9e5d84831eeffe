// The five charts of the page "Signal through depth".
"use strict";
(() => {
  const { chart, decades, element, format, histogram, marks } = explorables;
  const { bands, dots, boxes, line } = marks;

  const REACH = 4; // how far from 0 the outputs are shown, in so many rows and shades:
  const ROWS = 64;
  const SHADES = 6;
  const BARS = 40;

  const PAIR = { "ex-first ex-dotted": "simulated", "ex-second": "predicted" };
  const CHARTS = {
    outputs: {
      title: "Outputs <i>h<sub>l</sub></i>: the stronger the color, the more",
      keys: { "ex-second": "mean, and a standard deviation around it" },
      height: 250,
    },
    meanSquare: {
      title: "Mean square <i>q<sub>l</sub></i>",
      keys: PAIR,
      height: 190,
    },
    gradient: {
      title: "Gradient ‖<i>δ<sub>l</sub></i>‖ / ‖<i>δ<sub>L</sub></i>‖",
      keys: PAIR,
      height: 190,
    },
    flat: {
      title: "Share",
      keys: { "ex-first": "outputs saturated", "ex-second": "units dead" },
      height: 190,
    },
    one: { title: "", height: 190 },
  };

  // Returns what draws them; `look` is called with the layer that a pointer is over.
  function signalCharts(container, look) {
    const wide = element("div");
    const pairs = element("div", { className: "ex-pairs" });
    container.append(wide, pairs);
    const charts = {};
    for (const [name, about] of Object.entries(CHARTS)) {
      charts[name] = chart(name === "outputs" ? wide : pairs, about);
      if (name === "one") continue;
      charts[name].root.addEventListener("pointermove", (event) => {
        const left = charts[name].root.getBoundingClientRect().left;
        look(Math.round(charts[name].x.invert(event.clientX - left)));
      });
    }

    return ({ layers, predicted, settings }) => {
      const top = layers.length - 1;
      const x = { domain: [-0.5, top + 0.5], label: "layer *l*" };
      const at = settings.layer;
      const cursor = bands([[at - 0.5, at + 0.5]], "ex-cursor");
      const over = (values, from = 0) => values.map((value, l) => [l, value]).slice(from);
      const of = (list, what) => list.map((layer) => layer[what]);

      function compared(name, what, from, simulated, about) {
        const foretold = of(predicted, what);
        const y = { log: true, domain: decades([...simulated, ...foretold].slice(from)) };
        charts[name].draw({
          x,
          y,
          marks: [
            cursor,
            line(over(foretold, from), "ex-second"),
            dots(over(simulated, from), "ex-first"),
          ],
          description:
            `${about} in layers ${from} to ${top}, on a logarithmic scale: simulated from ` +
            `${format(simulated[from])} to ${format(simulated[top])}, predicted from ` +
            `${format(foretold[from])} to ${format(foretold[top])}.`,
        });
      }

      const [means, stds] = [of(layers, "mean"), of(layers, "std")];
      const [first, last] = [layers[0], layers[top]];
      charts.outputs.draw({
        x,
        y: { domain: [-REACH, REACH] },
        marks: [
          ...shaded(layers),
          cursor,
          line(over(means), "ex-second"),
          line(over(means.map((m, l) => m + stds[l])), "ex-second ex-thin"),
          line(over(means.map((m, l) => m - stds[l])), "ex-second ex-thin"),
        ],
        description:
          `Distribution of the outputs, layer by layer. Inputs: mean ${format(first.mean)}, ` +
          `standard deviation ${format(first.std)}. Layer ${top}: mean ` +
          `${format(last.mean)}, standard deviation ${format(last.std)}.`,
      });
      compared("meanSquare", "meanSquare", 0, of(layers, "meanSquare"), "Mean square");
      const down = layers.map(({ gradient }) => gradient / last.gradient);
      compared("gradient", "gradient", 1, down, "Gradient over that at the top");
      charts.flat.draw({
        x,
        y: { domain: [-0.03, 1.03], ticks: [0, 0.5, 1] },
        marks: [
          cursor,
          line(over(of(layers, "saturated"), 1), "ex-first"),
          line(over(of(layers, "dead"), 1), "ex-second"),
        ],
        description:
          `Shares of saturated outputs and of dead units. Layer ${top}: ` +
          `${format(last.saturated)} and ${format(last.dead)}.`,
      });
      drawOne(charts.one, layers[at], at);
    };
  }

  // The histograms of all layers as columns of cells, one mark for each shade.  A cell's
  // shade is the root of its share of the fullest one, so that rare outputs are seen too.
  function shaded(layers) {
    const cells = Array.from({ length: SHADES }, () => []);
    const height = (2 * REACH) / ROWS;
    layers.forEach(({ h }, l) => {
      const counts = histogram(h, -REACH, REACH, ROWS);
      const most = Math.max(...counts);
      counts.forEach((count, i) => {
        if (count === 0) return;
        const shade = Math.ceil(SHADES * Math.sqrt(count / most)) - 1;
        const low = -REACH + i * height;
        cells[shade].push([l - 0.5, l + 0.5, low, low + height]);
      });
    });
    return cells.map((some, shade) => boxes(some, `ex-shade ex-shade-${shade + 1}`));
  }

  // The histogram of one layer, on axes of its own.
  function drawOne(plot, { h, mean, std }, l) {
    plot.heading.innerHTML = l
      ? `Outputs <i>h<sub>l</sub></i> of layer ${l}`
      : "The inputs <i>h</i><sub>0</sub> = <i>x</i>";
    let [low, high] = [Infinity, -Infinity];
    for (const value of h) [low, high] = [Math.min(low, value), Math.max(high, value)];
    low = Math.max(low, mean - 5 * std);
    high = Math.min(high, mean + 5 * std);
    if (!(high > low)) [low, high] = [mean - 1, mean + 1];
    const width = (high - low) / BARS;
    const shares = histogram(h, low, high, BARS).map((count) => count / h.length);
    const bars = shares.map((share, i) => [
      low + i * width,
      low + (i + 0.9) * width,
      0,
      share,
    ]);
    plot.draw({
      x: { domain: [low, high], label: l ? "*h*" : "*x*" },
      y: { domain: [0, 1.05 * Math.max(...shares)] },
      marks: [boxes(bars, "ex-bars")],
      description:
        `Histogram of ${l ? `the outputs of layer ${l}` : "the inputs"}: mean ` +
        `${format(mean)}, standard deviation ${format(std)}.`,
    });
  }

  explorables.signalCharts = signalCharts;
})();
