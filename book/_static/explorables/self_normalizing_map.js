// The page "The self-normalizing map": its controls, what they change, sentences and a
// table.
"use strict";
(() => {
  const { atNextPicture, controls, dropout, element, format, jacobian } = explorables;
  const { mapCharts, maps, moments, replaceStill, SELU_ALPHA, SELU_SCALE } = explorables;

  const around = (value, below, above, step) => {
    return { min: value - below, max: value + above, step, value };
  }; // so that a slider can return to the value exactly
  const KINDS = { none: "none", alpha: "alpha", plain: "plain" };
  const CONTROLS = [
    { name: "mean", label: "Start: mean <i>μ</i>", ...around(1, 3, 1, 0.01) },
    { name: "variance", label: "Start: variance <i>ν</i>", ...around(3, 2.98, 1, 0.01) },
    { name: "layers", label: "Layers", min: 1, max: 50, step: 1, value: 20 },
    { name: "omega", label: "Sum of weights <i>ω</i>", ...around(0.5, 2, 1, 0.05) },
    { name: "tau", label: "Sum of squares <i>τ</i>", ...around(1, 0.5, 1, 0.01) },
    { name: "alpha", label: "SELU's <i>α</i>", ...around(SELU_ALPHA, 1.6, 1.6, 0.02) },
    { name: "scale", label: "SELU's <i>λ</i>", ...around(SELU_SCALE, 0.5, 0.7, 0.01) },
    { name: "kind", label: "Dropout in each layer", options: KINDS, value: "none" },
    { name: "rate", label: "Rate of dropping", min: 0, max: 0.9, step: 0.01, value: 0.1 },
  ];

  const root = document.getElementById("explorable-map");
  const panel = element("div", { className: "ex-controls" });
  const summary = element("p", { className: "ex-summary" });
  summary.setAttribute("role", "status");
  root.append(panel, summary);

  const changed = atNextPicture(update);
  const { settings, defaults, set } = controls(panel, CONTROLS, changed);
  replaceStill(root, set, defaults);
  const hundredths = (value) => Math.round(100 * value) / 100;
  const draw = mapCharts(root, (mean, variance) =>
    set({ mean: hundredths(mean), variance: Math.max(0.02, hundredths(variance)) }),
  );
  const table = element("table", { className: "ex-table" });
  root.append(table);
  new ResizeObserver(changed).observe(root);

  function update() {
    const { kind, layers, mean, rate, variance } = settings;
    const layer = {
      step: (state) => moments(state, settings),
      slopes: (state) => jacobian(state, settings),
    };
    const alone = tidy(maps.fixedPoint(layer));
    // Alpha dropout keeps the fixed point of the layers, or else (0, 1).
    const rests = alone.radius !== undefined;
    const kept = rests ? alone.state : [0, 1];
    const after = {
      none: dropout.none,
      alpha: dropout.alpha(rate, kept, settings),
      plain: dropout.plain(rate),
    };
    const map = maps.chain(layer, after[kind]);
    const rest = kind === "none" ? alone : tidy(maps.fixedPoint(map));
    const path = maps.iterate(map, [mean, variance], layers);
    draw({ map, path, rest });
    summary.textContent = sentences(path, rest);
    const where = rests ? "the fixed point of layers without dropout" : "(0, 1)";
    writeTable(where, kept, after);
  }

  // Without what rounding left of a 0.
  const rounded = (value) => (Math.abs(value) < 1e-12 ? 0 : value);
  const tidy = (found) => ({ ...found, state: found.state.map(rounded) });

  function sentences(path, rest) {
    const end = path.at(-1);
    const where = `mean ${format(rest.state[0])}, variance ${format(rest.state[1])}`;
    const radius = format(rest.radius);
    const found = {
      stable:
        `The fixed point, ${where}, attracts: the largest eigenvalue of the Jacobian has ` +
        `size ${radius}.`,
      unstable:
        `The fixed point, ${where}, repels: an eigenvalue of the Jacobian has size ` +
        `${radius}.`,
      vanishes: "No fixed point was found: from (0, 1) the variance falls to 0.",
      explodes: "No fixed point was found: from (0, 1) the layers run away.",
      restless: "No fixed point was found: from (0, 1) the layers do not come to rest.",
    };
    return (
      `${found[rest.kind]} From the start, mean ${format(path[0][0])} and variance ` +
      `${format(path[0][1])}, ${path.length - 1} layers lead to mean ` +
      `${format(rounded(end[0]))} and variance ${format(end[1])}.`
    );
  }

  function writeTable(where, kept, after) {
    const { a, b } = dropout.affine(settings.rate, kept, settings);
    const row = (tag, head, ...cells) =>
      element("tr", {}, head, ...cells.map((text) => element(tag, {}, text)));
    const of = (text) => element("th", { scope: "row" }, text);
    const numbers = (state) => state.map((value) => format(rounded(value)));
    const title =
      `Dropping at rate ${format(settings.rate)}, at ${where}. Alpha dropout: a = ` +
      `${format(a)}, b = ${format(rounded(b))}, dropped units are α′ = ` +
      `${format(-settings.scale * settings.alpha)}.`;
    table.replaceChildren(
      element("caption", {}, title),
      element("thead", {}, row("th", element("td"), "mean", "variance")),
      element(
        "tbody",
        {},
        row("td", of("before"), ...numbers(kept)),
        row("td", of("after alpha dropout"), ...numbers(after.alpha.step(kept))),
        row("td", of("after plain dropout"), ...numbers(after.plain.step(kept))),
      ),
    );
  }
})();
