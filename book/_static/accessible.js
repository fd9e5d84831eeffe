// What the theme leaves to be done for keyboards and screen readers.
document.addEventListener("DOMContentLoaded", () => {
  // A name that differs from the words on it cannot be spoken to voice control.
  for (const named of document.querySelectorAll("summary[aria-label], .search-button-field")) {
    named.removeAttribute("aria-label");
  }
  // Arrows that open a part of the contents have no words at all.
  for (const arrow of document.querySelectorAll("nav summary")) {
    arrow.setAttribute("aria-label", "Pages of this part");
  }
  // The items of this list are not marked as such.
  for (const list of document.querySelectorAll(".citation-list[role=list]")) {
    list.removeAttribute("role");
  }
  // What scrolls sideways must be reached by the keyboard.
  const wide = "div.highlight pre, .pst-scrollable-table-container, .cell_output div";
  for (const box of document.querySelectorAll(wide)) {
    if (box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX !== "visible") {
      box.tabIndex = 0;
    }
  }
});
