/* Starts the deck: first the formulas, then reveal.js, then the sizes. */
const HEIGHT = 720;
const ROOM = 672; // above the line at the foot
const SMALLEST = 70; // percent of the usual size

/* Say whether a formula goes beyond the right margin. */
function wide(slide) {
  const right = (element) => element.getBoundingClientRect().right;
  const formulas = [...slide.querySelectorAll(".math svg")];
  return formulas.some((drawn) => right(drawn) > right(drawn.closest(".math")) + 1);
}

/* Shrink what is larger than a slide; scroll if it would become too small to read. */
function fit() {
  for (const slide of Reveal.getSlides()) {
    const hidden = [slide, slide.parentElement].map((e) => [e, e.style.display]);
    hidden.forEach(([element]) => (element.style.display = "block"));
    const parts = [...slide.children];
    const high = () => parts.some((part) => part.offsetTop + part.offsetHeight > ROOM);
    const overflows = () => high() || wide(slide);
    for (let percent = 98; overflows() && percent >= SMALLEST; percent -= 2) {
      slide.style.fontSize = `${percent}%`;
    }
    if (overflows()) slide.style.overflowY = "auto";
    hidden.forEach(([element, display]) => (element.style.display = display));
  }
}

MathJax.startup.promise
  .then(() => {
    /* The window of the speaker's notes has no style that would hide these twins. */
    const twins = document.querySelectorAll(".notes mjx-assistive-mml");
    twins.forEach((twin) => twin.remove());
    return Reveal.initialize({
      width: 1280,
      height: HEIGHT,
      margin: 0,
      center: false,
      hash: true,
      navigationMode: "linear",
      pdfMaxPagesPerSlide: 1,
      pdfSeparateFragments: false,
      slideNumber: "c/t",
      transition: "none",
      plugins: [RevealNotes],
    });
  })
  .then(fit)
  .then(() => (document.body.dataset.ready = "yes"));
