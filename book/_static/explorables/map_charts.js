// The charts of the page "The self-normalizing map": the plane of mean and variance, and
// both of them layer by layer.
"use strict";
(() => {
  const { chart, element, format, marks, svg } = explorables;
  const { arrows, boxes, dots, line, star } = marks;

  const [MEANS, VARIANCES] = [
    [-2, 2],
    [0, 4],
  ]; // what the plane shows
  const THEOREM_1 = [-0.1, 0.1, 0.8, 1.5]; // its domain
  const SPACING = 40; // pixels between arrows, of which they are no longer than:
  const LONGEST = 28;

  const symbol = { mean: "<i>μ</i>", variance: "<i>ν</i>" };

  // Returns what draws them; `start` is called with the point where a pointer is pressed.
  function mapCharts(container, start) {
    const wide = element("div");
    const pairs = element("div", { className: "ex-pairs" });
    container.append(wide, pairs);
    const plane = chart(wide, {
      title: `Variance ${symbol.variance}, over the mean ${symbol.mean}`,
      keys: {
        "ex-arrow": "one layer",
        "ex-second": "path from the start",
        "ex-star": "fixed point",
        "ex-frame": "domain of theorem 1",
      },
      height: 380,
    });
    const [mean, variance] = ["Mean", "Variance"].map((name) =>
      chart(pairs, {
        title: `${name} ${symbol[name.toLowerCase()]}, layer by layer`,
        keys: { "ex-second ex-dotted": "path", "ex-first": "fixed point" },
        height: 180,
      }),
    );
    const handle = svg("circle", { class: "ex-handle", r: 9 });
    plane.root.append(handle);
    // A finger on the handle moves it, and does not scroll the page.
    const stay = (event) => event.preventDefault();
    handle.addEventListener("touchstart", stay, { passive: false });
    dragged(plane, start);

    return ({ map, path, rest }) => {
      drawPlane(plane, { map, path, rest });
      handle.setAttribute("cx", plane.x(path[0][0]));
      handle.setAttribute("cy", plane.y(path[0][1]));
      drawPath(mean, "Mean", 0, path, rest);
      drawPath(variance, "Variance", 1, path, rest);
    };
  }

  // A press moves the start there, and it follows until the release.
  function dragged(plane, start) {
    let held = false;
    const within = (value, [low, high]) => Math.max(low, Math.min(value, high));
    function follow(event) {
      const corner = plane.root.getBoundingClientRect();
      start(
        within(plane.x.invert(event.clientX - corner.left), MEANS),
        within(plane.y.invert(event.clientY - corner.top), VARIANCES),
      );
    }
    plane.root.addEventListener("pointerdown", (event) => {
      held = true;
      plane.root.setPointerCapture(event.pointerId);
      follow(event);
    });
    plane.root.addEventListener("pointermove", (event) => held && follow(event));
    for (const end of ["pointerup", "pointercancel"]) {
      plane.root.addEventListener(end, () => (held = false));
    }
  }

  function drawPlane(plane, { map, path, rest }) {
    const [from, to] = [path[0], path.at(-1)].map((point) => point.map(format).join(", "));
    const found = rest.radius === undefined ? [] : [rest.state];
    plane.draw({
      x: { domain: MEANS, label: "mean *μ*" },
      y: { domain: VARIANCES },
      marks: [
        field(map),
        boxes([THEOREM_1], "ex-frame"),
        line(path, "ex-second ex-thin"),
        dots(path, "ex-second", 3),
        star(found, rest.kind === "stable" ? "ex-star" : "ex-star ex-hollow"),
      ],
      description:
        `The plane of mean and variance, with an arrow from each point to where one layer ` +
        `takes it. The path starts at (${from}) and is at (${to}) after ` +
        `${path.length - 1} layers.`,
    });
  }

  // Arrows on a grid of pixels.  Short ones end where the layer takes their start, long
  // ones only point there.
  function field(map) {
    return (x, y) => {
      const starts = [];
      for (let px = x(MEANS[0]) + SPACING / 2; px < x(MEANS[1]); px += SPACING) {
        for (let py = y(VARIANCES[1]) + SPACING / 2; py < y(VARIANCES[0]); py += SPACING) {
          const at = [x.invert(px), y.invert(py)];
          const next = map.step(at);
          const [right, down] = [x(next[0]) - px, y(next[1]) - py];
          const length = Math.hypot(right, down);
          const shorter = length && (LONGEST * Math.tanh(length / LONGEST)) / length;
          starts.push([...at, right * shorter, down * shorter]);
        }
      }
      return arrows(starts, "ex-field")(x, y);
    };
  }

  function drawPath(plot, name, which, path, rest) {
    const values = path.map((point) => point[which]);
    const last = path.length - 1;
    const level = rest.radius === undefined ? [] : [rest.state[which]];
    plot.draw({
      x: { domain: [-0.5, last + 0.5], label: "layer *l*" },
      y: { domain: around([...values, ...level]) },
      marks: [
        line(
          level.flatMap((v) => [
            [-0.5, v],
            [last + 0.5, v],
          ]),
          "ex-first",
        ),
        dots(
          values.map((value, l) => [l, value]),
          "ex-second",
        ),
      ],
      description:
        `${name} layer by layer, from ${format(values[0])} at the start to ` +
        `${format(values[last])} in layer ${last}.`,
    });
  }

  // A range a little larger than that of the values.
  function around(values) {
    const kept = values.filter((value) => Math.abs(value) < 1e6);
    const [low, high] = [Math.min(...kept), Math.max(...kept)];
    const margin = Math.max(0.05, 0.08 * (high - low));
    return [low - margin, high + margin];
  }

  explorables.mapCharts = mapCharts;
})();
