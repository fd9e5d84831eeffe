// Charts as SVG: two axes, and marks between them.  Colors and sizes are in the CSS.
"use strict";
(() => {
  const explorables = (globalThis.explorables ??= {});

  const MARGIN = { left: 48, right: 12, top: 8, bottom: 38 };

  function svg(tag, attributes = {}, ...children) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  // Three digits, and a power of ten where zeros would hide them.
  function format(value) {
    if (!Number.isFinite(value)) return String(value);
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e5)) {
      const [digits, exponent] = value.toExponential(1).split("e");
      return `${digits.replace("-", "−")} × 10${superscript(Number(exponent))}`;
    }
    const text = size >= 100 ? value.toFixed(0) : String(parseFloat(value.toPrecision(3)));
    return text.replace("-", "−");
  }

  function superscript(integer) {
    return [...String(integer)].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");
  }

  // Round numbers within a range.
  function linearTicks([low, high], count) {
    const raw = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= raw * 0.999);
    const [first, last] = [Math.ceil(low / step - 1e-9), Math.floor(high / step + 1e-9)];
    return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
  }

  // Whole powers of ten around all values above 0; at least from 1/10 to 10.
  function decades(values) {
    const logs = values.filter((v) => v > 0 && v < Infinity).map(Math.log10);
    return [
      10 ** Math.min(-1, Math.floor(Math.min(...logs, 0))),
      10 ** Math.max(1, Math.ceil(Math.max(...logs, 0))),
    ];
  }

  function decadeTicks([low, high]) {
    const [first, last] = [Math.round(Math.log10(low)), Math.round(Math.log10(high))];
    const step = Math.ceil((last - first) / 6);
    const from = Math.ceil(first / step) * step;
    const count = Math.floor((last - from) / step) + 1;
    return Array.from({ length: count }, (_, i) => 10 ** (from + i * step));
  }

  const decadeLabel = (value) => `10${superscript(Math.round(Math.log10(value)))}`;

  // From the numbers of a domain to pixels; `invert` goes back.
  function scale({ domain, log = false }, [from, to]) {
    const place = log ? Math.log : (v) => v;
    const [low, high] = domain.map(place);
    const perUnit = (to - from) / (high - low);
    const of = (value) => from + (place(value) - low) * perUnit;
    of.domain = domain;
    of.invert = (pixel) => (log ? Math.exp : place)(low + (pixel - from) / perUnit);
    return of;
  }

  // A chart with a title above it, and keys, {class: words}, to its colors.  draw() takes
  // the axes, {domain, log, ticks, label}, marks, which are functions of the two scales
  // that return nodes, and a description.
  function chart(container, { title, keys = {}, height }) {
    const line = document.createElement("p");
    line.className = "ex-title";
    line.innerHTML = `<span>${title}</span>`;
    for (const [name, words] of Object.entries(keys)) {
      line.innerHTML += `<span class="ex-key ${name}">${words}</span>`;
    }
    const heading = line.firstChild;
    const plot = svg("g");
    const root = svg("svg", { role: "img", height }, plot);
    const box = document.createElement("div");
    box.className = "ex-chart";
    box.append(line, root);
    container.append(box);
    const self = { root, heading, draw };
    return self;

    function draw({ x, y, marks, description }) {
      const width = box.clientWidth;
      const bottom = height - MARGIN.bottom;
      self.x = scale(x, [MARGIN.left, width - MARGIN.right]);
      self.y = scale(y, [bottom, MARGIN.top]);
      root.setAttribute("width", width);
      root.setAttribute("aria-label", description);
      const inner = { x: MARGIN.left, y: MARGIN.top };
      inner.width = width - MARGIN.left - MARGIN.right;
      inner.height = bottom - MARGIN.top;
      const area = svg("svg", {
        ...inner,
        viewBox: `${inner.x} ${inner.y} ${inner.width} ${inner.height}`,
      }); // it clips what leaves it
      area.append(...marks.flatMap((mark) => mark(self.x, self.y)));
      plot.replaceChildren(...grid(y, inner), area, ...labels(x, inner));
    }

    function grid(y, { x, width }) {
      const ticks = y.ticks ?? (y.log ? decadeTicks(y.domain) : linearTicks(y.domain, 4));
      return ticks.flatMap((tick) => {
        const at = self.y(tick);
        const text = y.log ? decadeLabel(tick) : format(parseFloat(tick.toPrecision(6)));
        return [
          svg("line", { class: "ex-grid", x1: x, x2: x + width, y1: at, y2: at }),
          svg(
            "text",
            { class: "ex-tick", x: x - 6, y: at + 4, "text-anchor": "end" },
            text,
          ),
        ];
      });
    }

    function labels(x, { x: left, y: top, width, height: inner }) {
      const count = Math.min(10, Math.floor(width / 55));
      const bottom = top + inner;
      const ticks = (x.ticks ?? linearTicks(x.domain, count)).flatMap((tick) => {
        const at = self.x(tick);
        const text = format(parseFloat(tick.toPrecision(6)));
        return [
          svg("line", { class: "ex-axis", x1: at, x2: at, y1: bottom, y2: bottom + 4 }),
          svg(
            "text",
            { class: "ex-tick", x: at, y: bottom + 17, "text-anchor": "middle" },
            text,
          ),
        ];
      });
      const line = { class: "ex-axis", x1: left, x2: left + width, y1: bottom, y2: bottom };
      const place = { class: "ex-label", x: left + width, y: bottom + 33 };
      const label = svg("text", { ...place, "text-anchor": "end" }, ...words(x.label));
      return [svg("line", line), ...ticks, label];
    }
  }

  // What stands between asterisks is a symbol, and slanted.
  function words(text) {
    return text
      .split("*")
      .map((part, i) => svg("tspan", i % 2 ? { "font-style": "italic" } : {}, part));
  }

  // --- marks ------------------------------------------------------------------------
  // Points are [x, y]; what is not a finite number on its axis leaves a gap.
  const seen = (at) => at.every(Number.isFinite);

  function line(points, name) {
    return (x, y) => {
      let d = "";
      let pen = "M";
      for (const at of points.map(([a, b]) => [x(a), y(b)])) {
        if (seen(at)) d += `${pen}${at[0].toFixed(1)} ${at[1].toFixed(1)}`;
        pen = seen(at) ? "L" : "M";
      }
      return [svg("path", { class: `ex-line ${name}`, d })];
    };
  }

  function dots(points, name, r = 2.5) {
    return (x, y) =>
      points
        .map(([a, b]) => [x(a), y(b)])
        .filter(seen)
        .map(([cx, cy]) => svg("circle", { class: `ex-dot ${name}`, cx, cy, r }));
  }

  // Rectangles [x from, x to, y from, y to] as one path.
  function boxes(rectangles, name) {
    return (x, y) => {
      const d = rectangles.map(([a, b, from, to]) => {
        const [left, right] = [x(a), x(b)].map((v) => v.toFixed(2));
        const [low, high] = [y(from), y(to)].map((v) => v.toFixed(2));
        return `M${left} ${low}H${right}V${high}H${left}Z`;
      });
      return [svg("path", { class: name, d: d.join("") })];
    };
  }

  // From the bottom to the top, [x from, x to].
  function bands(intervals, name) {
    return (x, y) => {
      const [low, high] = y.domain;
      return boxes(
        intervals.map((interval) => [...interval, low, high]),
        name,
      )(x, y);
    };
  }

  // From points to points, as [x, y, pixels to the right, pixels down].
  function arrows(starts, name) {
    return (x, y) => {
      const d = starts.map(([a, b, right, down]) => {
        const [px, py] = [x(a), y(b)];
        const length = Math.hypot(right, down) || 1;
        const [ux, uy] = [right / length, down / length];
        const head = Math.min(4, length / 2);
        const wing = (side) =>
          `L${(px + right - head * (ux - side * 0.6 * uy)).toFixed(1)} ` +
          `${(py + down - head * (uy + side * 0.6 * ux)).toFixed(1)}`;
        const tip = `${(px + right).toFixed(1)} ${(py + down).toFixed(1)}`;
        return `M${px.toFixed(1)} ${py.toFixed(1)}L${tip}${wing(1)}M${tip}${wing(-1)}`;
      });
      return [svg("path", { class: name, d: d.join("") })];
    };
  }

  // Stars of five points.
  function star(points, name) {
    return (x, y) =>
      points.map(([a, b]) => {
        const corners = Array.from({ length: 10 }, (_, i) => {
          const [angle, r] = [(Math.PI * i) / 5, i % 2 ? 4 : 9];
          return `${x(a) + r * Math.sin(angle)},${y(b) - r * Math.cos(angle)}`;
        });
        return svg("polygon", { class: name, points: corners.join(" ") });
      });
  }

  Object.assign(explorables, { chart, decades, format, svg });
  explorables.marks = { arrows, bands, boxes, dots, line, star };
})();
