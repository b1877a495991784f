"use strict";
// Every 10 seconds the page is fetched again and its changed parts are taken over in place, so that scroll position,
// focus, opened details and typed text stay. Without this script the page works by a plain reload.
const every = 10000;

const typed = (node) =>
  node.matches?.("input, textarea") && node.type !== "hidden" && node.value !== node.defaultValue;
const inUse = (node) =>
  node.nodeType === 1 &&
  (node.contains(document.activeElement) || typed(node) || [...node.querySelectorAll("input, textarea")].some(typed));

function takeOver(old, fresh) {
  for (const { name } of [...old.attributes])
    if (!fresh.hasAttribute(name) && !(name === "open" && old.tagName === "DETAILS")) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes)
    if (!(name === "open" && old.tagName === "DETAILS") && !(name === "value" && typed(old)))
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  let at = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    let found = wanted.id ? [...old.children].find((child) => child.id === wanted.id) : at;
    while (found && !wanted.id && found.id) found = found.nextSibling;
    if (found && found.nodeName === wanted.nodeName) {
      if (found !== at) old.insertBefore(found, at);
      if (found.nodeType === 1) takeOver(found, wanted);
      else if (found.nodeValue !== wanted.nodeValue) found.nodeValue = wanted.nodeValue;
      at = found.nextSibling;
    } else old.insertBefore(document.importNode(wanted, true), at);
  }
  while (at) {
    const next = at.nextSibling;
    if (!inUse(at)) at.remove();
    at = next;
  }
}

async function refresh() {
  if (document.hidden) return;
  const lost = document.getElementById("lost");
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const focus = document.activeElement;
    for (const part of document.querySelectorAll("[data-live]")) {
      const its = fresh.getElementById(part.id);
      if (its) takeOver(part, its);
    }
    if (focus?.isConnected && focus !== document.activeElement) focus.focus({ preventScroll: true });
    lost.hidden = true;
  } catch {
    lost.textContent = document.body.dataset.lost;
    lost.hidden = false;
  }
}

setInterval(refresh, every);
document.addEventListener("visibilitychange", refresh);
