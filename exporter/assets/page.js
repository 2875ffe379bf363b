// Keeps the page as the exporter knows it, and finds what is typed. Without it the page is whole, but still.
"use strict";
const find = document.getElementById("find");
const live = document.getElementById("live");
find.hidden = false;

// A real server is found by what its row says, or its service's head.
function filter() {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const service of document.querySelectorAll("#all .service")) {
    const head = service.firstElementChild.textContent.toLowerCase();
    const left = words.filter((word) => !head.includes(word));
    const rows = service.querySelectorAll("tbody tr");
    let found = left.length === 0;
    for (const row of rows) {
      const text = left.length ? row.textContent.toLowerCase() : "";
      row.hidden = !left.every((word) => text.includes(word));
      found ||= !row.hidden;
    }
    service.hidden = !found;
  }
}
find.addEventListener("input", filter);

const seen = new Set();
const sight = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) seen.add(entry.target.id);
    else seen.delete(entry.target.id);
  }
}, { rootMargin: "200px" });

function look() {
  sight.disconnect();
  seen.clear();
  document.querySelectorAll("#all .service").forEach((service) => sight.observe(service));
}

async function part(name) {
  const answer = await fetch("/fragment/" + name);
  if (!answer.ok) throw new Error(String(answer.status));
  const holder = document.createElement("template");
  holder.innerHTML = await answer.text();
  return holder.content.firstElementChild;
}

async function replace(name) {
  const before = document.getElementById(name.replace("/", "-"));
  const after = await part(name);
  if (before && after && before.outerHTML !== after.outerHTML) before.replaceWith(after);
  return after;
}

let busy = false;
async function refresh() {
  if (busy) return;
  busy = true;
  try {
    await replace("summary");
    await replace("trouble");
    const all = document.getElementById("all");
    if (all.dataset.shape !== document.getElementById("summary").dataset.shape) {
      await replace("all");
      look();
    } else {
      for (const id of [...seen]) {
        const after = await replace("service/" + id.slice("service-".length));
        if (after.isConnected) sight.observe(after);
      }
    }
    filter();
    live.textContent = "live";
  } catch (error) {
    live.textContent = "no answer from the exporter (" + error.message + "); trying again";
  } finally {
    busy = false;
  }
}

look();
const changes = new EventSource("/changes");
changes.addEventListener("update", refresh);
changes.onopen = () => { live.textContent = "live"; };
changes.onerror = () => { live.textContent = "connection lost; trying again"; };
