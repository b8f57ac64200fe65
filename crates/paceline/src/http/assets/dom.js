// Building elements without markup strings: what a campaign is called can never become a tag.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. `on` holds listeners, `class` the class; null and false properties are left out. */
export function h(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** The same for SVG. */
export function s(tag, properties, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

/** Text that only a screen reader tells. */
export const spoken = text => h("span", { class: "spoken" }, text);

/** Replaces what is inside, unless it would be the same: focus and what was opened stay. */
export function replace(host, ...children) {
  const next = document.createElement("div");
  next.append(...children.flat(9).filter(isThere));
  for (const summary of host.querySelectorAll("details[open] > summary[data-focus]")) {
    next
      .querySelector(`summary[data-focus="${CSS.escape(summary.dataset.focus)}"]`)
      ?.parentElement.setAttribute("open", "");
  }
  if (host.innerHTML === next.innerHTML) return;
  const focused = host.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
  host.replaceChildren(...next.childNodes);
  if (focused) host.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
}

/** Waits until a hand has rested. */
export function calmly(milliseconds, act) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), milliseconds);
  };
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(9).filter(isThere));
  return element;
}

const isThere = child => child !== null && child !== undefined && child !== false;
