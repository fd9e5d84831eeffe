// The page "Signal through depth": its controls, what they change, and a sentence.
"use strict";
(() => {
  const { activations, atNextPicture, controls, element, format } = explorables;
  const { initializers, meanField, network, replaceStill, signalCharts } = explorables;

  const labels = (table) =>
    Object.fromEntries(Object.entries(table).map(([name, { label }]) => [name, label]));

  const CONTROLS = [
    {
      name: "activation",
      label: "Activation <i>f</i>",
      options: labels(activations),
      value: "tanh",
    },
    {
      name: "initializer",
      label: "Weights <i>W</i>",
      options: labels(initializers),
      value: "lecun_normal",
    },
    { name: "gain", label: "Gain", min: -2, max: 2, step: 0.05, log: true, value: 1 },
    { name: "depth", label: "Depth <i>L</i>", min: 1, max: 60, step: 1, value: 30 },
    { name: "width", label: "Width <i>n</i>", min: 10, max: 200, step: 10, value: 100 },
    { name: "seed", label: "Seed", min: 0, max: 50, step: 1, value: 0 },
    { name: "inputMean", label: "Inputs: mean", min: -2, max: 2, step: 0.1, value: 0 },
    {
      name: "inputStd",
      label: "Inputs: standard deviation",
      min: 0.1,
      max: 3,
      step: 0.1,
      value: 1,
    },
    {
      name: "zeros",
      label: "Inputs: share of zeros",
      min: 0,
      max: 0.95,
      step: 0.05,
      value: 0,
    },
    {
      name: "layer",
      label: "Look at layer <i>l</i>",
      min: 0,
      max: ({ depth }) => depth,
      step: 1,
      value: 10,
    },
  ];

  const root = document.getElementById("explorable-signal");
  const panel = element("div", { className: "ex-controls" });
  const summary = element("p", { className: "ex-summary" });
  summary.setAttribute("role", "status");
  root.append(panel, summary);

  let [net, computed] = [null, ""];
  const changed = atNextPicture(update);
  const { settings, defaults, set } = controls(panel, CONTROLS, changed);
  replaceStill(root, set, defaults);
  const draw = signalCharts(root, (layer) => {
    const inside = Math.max(0, Math.min(layer, settings.depth));
    if (inside !== settings.layer) set({ layer: inside });
  });
  new ResizeObserver(changed).observe(root);

  function update() {
    settings.layer = Math.min(settings.layer, settings.depth);
    const wanted = JSON.stringify({ ...settings, layer: null });
    if (wanted !== computed) {
      net = {
        layers: network.simulate(settings),
        predicted: meanField.predictFor(settings),
      };
      computed = wanted;
    }
    draw({ ...net, settings });
    summary.textContent = sentences();
  }

  function sentences() {
    const { layer, depth } = settings;
    const { layers, predicted } = net;
    const percent = (share) => `${format(100 * share)} %`;
    const one = layers[layer];
    const here = layer
      ? `Layer ${layer}: mean ${format(one.mean)}, standard deviation ${format(one.std)}, ` +
        `${percent(one.saturated)} of the outputs saturated, ${percent(one.dead)} of the ` +
        `units dead; `
      : `Inputs: mean ${format(one.mean)}, standard deviation ${format(one.std)}; `;
    return (
      here +
      `mean square ${format(one.meanSquare)}, predicted ` +
      `${format(predicted[layer].meanSquare)}. ` +
      `From the top to layer 1 the gradient is multiplied by ` +
      `${format(layers[1].gradient / layers[depth].gradient)}, predicted ` +
      `${format(predicted[1].gradient)}.`
    );
  }
})();
