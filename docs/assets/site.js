// Names and roles that screen readers need and the theme leaves out. The theme adds elements later, so each change is looked at.
function complete() {
  document.querySelector(".md-search:not([aria-label])")?.setAttribute("aria-label", "Search");
  document.querySelectorAll(".md-code__nav").forEach((nav, number) => {
    const name = `Code block ${number + 1}`;
    if (nav.getAttribute("aria-label") !== name) nav.setAttribute("aria-label", name);
  });
  document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])").forEach((table) => (table.tabIndex = 0));
  document.querySelectorAll("th:empty").forEach((head) => head.replaceWith(document.createElement("td")));
}

complete();
new MutationObserver(complete).observe(document.body, { childList: true, subtree: true });
