// Labelled inputs that stand for the settings of a page, and a button that resets them.
"use strict";
(() => {
  const explorables = (globalThis.explorables ??= {});
  const { format } = explorables;

  function element(tag, properties = {}, ...children) {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  }

  // A control is {name, label, value} with `options` {value: text}, or with min, max (a
  // number, or a function of the settings) and step.  With `log`, the slider's place is
  // the binary logarithm of the value.  `changed` is called after each change.
  function controls(container, list, changed) {
    const defaults = Object.fromEntries(list.map(({ name, value }) => [name, value]));
    const settings = { ...defaults };
    const show = list.map((control) => (control.options ? choice : slider)(control));
    const reset = element("button", { type: "button", textContent: "Reset" });
    reset.addEventListener("click", () => set(defaults));
    container.append(reset);
    set(defaults, () => {});
    return { settings, defaults, set };

    function set(values, then = changed) {
      Object.assign(settings, values);
      for (const one of show) one();
      then();
    }

    function choice({ name, label, options }) {
      const input = element("select", { id: `ex-${name}` });
      for (const [value, text] of Object.entries(options)) {
        input.append(element("option", { value }, text));
      }
      input.addEventListener("input", () => set({ [name]: input.value }));
      place(input, label);
      return () => (input.value = settings[name]);
    }

    function slider({ name, label, min, max, step, log = false }) {
      const input = element("input", { id: `ex-${name}`, type: "range", min, step });
      const output = element("output");
      output.setAttribute("for", input.id);
      input.addEventListener("input", () => {
        const at = Number(input.value);
        set({ [name]: log ? 2 ** at : at });
      });
      place(input, label, output);
      return () => {
        input.max = typeof max === "function" ? max(settings) : max;
        input.value = log ? Math.log2(settings[name]) : settings[name];
        output.textContent = format(settings[name]);
        input.setAttribute("aria-valuetext", output.textContent);
      };
    }

    function place(input, label, ...beside) {
      const words = element("label", { htmlFor: input.id, innerHTML: label });
      const box = element("div", { className: "ex-control" }, words, ...beside, input);
      container.append(box);
    }
  }

  // Takes the place of the still picture, and gives the buttons in the text their work
  // and their words, which are not to be read in print.  Each holds settings that differ
  // from the start, as JSON.
  function replaceStill(root, set, defaults) {
    root.hidden = false;
    for (const still of document.querySelectorAll(".ex-still")) still.hidden = true;
    for (const button of document.querySelectorAll("button.ex-try")) {
      Object.assign(button, { hidden: false, textContent: "Set it up" });
      button.addEventListener("click", () => {
        set({ ...defaults, ...JSON.parse(button.dataset.settings) });
        root.scrollIntoView({ block: "start" });
        root.querySelector("select, input").focus({ preventScroll: true });
      });
    }
  }

  // All changes between two pictures of the screen are one update.
  function atNextPicture(update) {
    let waiting = false;
    return () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        update();
      });
    };
  }

  Object.assign(explorables, { atNextPicture, controls, element, replaceStill });
})();
