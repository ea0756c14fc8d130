// Keeps pages true while they are looked at. Everything works without it, but live logs.
"use strict";

const csrf = document.querySelector("meta[name=csrf]")?.content ?? "";

// ---- what is marked `data-live` is fetched anew when a deployment of its service has changed

const EVERY_MS = 30000; // processors and memory make no event
const MOVING_MS = 1000; // nor do the bytes of a pull
let waiting = 0;

async function refresh() {
  waiting = 0;
  if (document.hidden) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html", "X-O8-Refresh": "1" } });
  if (answer.redirected && new URL(answer.url).pathname === "/ui/login") return location.reload();
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) replace(part, page.getElementById(part.id));
  filter();
  times();
  if (document.querySelector("[data-moves]")) soon(MOVING_MS);
}

function replace(part, fresh) {
  const isTyping = part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
  if (!fresh || isTyping) return;
  if (fresh.dataset.say && fresh.dataset.say !== part.dataset.say) announce(fresh.dataset.say);
  part.dataset.say = fresh.dataset.say ?? "";
  part.toggleAttribute("data-moves", fresh.hasAttribute("data-moves"));
  if (bare(fresh) === bare(part)) return;
  const place = focused(part);
  part.replaceChildren(...fresh.childNodes);
  place();
}

// A part without what a script has changed in it: times in words, rows that are filtered out.
function bare(part) {
  const copy = part.cloneNode(true);
  for (const one of copy.querySelectorAll("time")) one.replaceWith(one.dateTime);
  for (const one of copy.querySelectorAll("tr")) one.hidden = false;
  return copy.innerHTML;
}

// Puts the keyboard's place back to the same link or button after its part was replaced.
function focused(part) {
  const one = document.activeElement;
  if (!part.contains(one)) return () => {};
  const kind = one.tagName, text = one.textContent, index = [...part.querySelectorAll(kind)].indexOf(one);
  return () => {
    const all = [...part.querySelectorAll(kind)];
    const same = all[index]?.textContent === text ? all[index] : all.find((other) => other.textContent === text);
    (same ?? document.getElementById("main")).focus({ preventScroll: true });
  };
}

// For screen readers: only what has changed in words, never a whole part.
function announce(text) {
  document.getElementById("announcer").textContent = text;
}

function soon(pause = 250) {
  waiting ||= setTimeout(() => refresh().catch(() => {}), pause);
}

const live = [...document.querySelectorAll("[data-live]")];
if (live.length) {
  const link = document.getElementById("link");
  const names = new Set(live.map((part) => part.dataset.live));
  const only = names.size === 1 && !names.has("all") ? `?service=${encodeURIComponent([...names][0])}` : "";
  const events = new EventSource(`/api/v1/events${only}`);
  events.addEventListener("deployment", () => soon());
  events.onopen = () => {
    if (link.className === "gone") announce("The connection is back.");
    [link.className, link.textContent] = ["live", "live"];
    soon();
  };
  events.onerror = () => {
    if (link.className === "live") announce("The connection is lost; trying again.");
    [link.className, link.textContent] = ["gone", "connecting again"];
    soon(); // perhaps nobody is logged in here any more
  };
  setInterval(soon, EVERY_MS);
  addEventListener("pagehide", () => events.close());
  addEventListener("visibilitychange", () => document.hidden || soon());
}

// ---- the list of services, filtered

function filter() {
  const input = document.querySelector("[data-filter]");
  if (!input) return;
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = [...document.querySelectorAll(`#${input.dataset.filter} tr[data-words]`)];
  for (const row of rows) row.hidden = !words.every((word) => row.dataset.words.toLowerCase().includes(word));
  const count = rows.filter((row) => !row.hidden).length;
  for (const none of document.querySelectorAll(`#${input.dataset.filter} [data-no-match]`)) none.hidden = count > 0;
  return count;
}
document.querySelector("[data-filter]")?.addEventListener("input", () => {
  const count = filter();
  announce(count === 1 ? "1 service" : `${count} services`);
});
filter(); // a browser that goes back fills in what was typed

// ---- times in words of now, and in the reader's own clock when pointed at

function times() {
  for (const one of document.querySelectorAll("time[datetime]")) {
    const at = new Date(one.dateTime), seconds = Math.max((Date.now() - at) / 1000, 0);
    const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"]].find(([size]) => seconds / size >= 2) ?? [1, "s"];
    one.textContent = `${Math.round(seconds / size)} ${unit} ago`;
    one.title = at.toLocaleString();
  }
}
setInterval(times, 10000);
times();

// ---- forms that ask first

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
  // Sent once. A moment later, as the browser has yet to read which button it was.
  if (!event.defaultPrevented && event.target.method === "post") {
    setTimeout(() => event.target.querySelectorAll("button").forEach((button) => { button.disabled = true; }));
  }
});

// ---- the live log

const log = document.querySelector("[data-log]");
if (log) {
  const MOST = 5000;
  const said = document.getElementById("log-state"), search = document.getElementById("log-search");
  const pause = document.getElementById("log-pause");
  let events, held = [], isPaused = false;

  const connect = () => {
    events?.close();
    log.textContent = "";
    const query = new URLSearchParams({ tail: 500, search: search.value });
    events = new EventSource(`${log.dataset.log}?${query}`);
    events.onopen = () => { said.textContent = isPaused ? "Paused." : "Live."; };
    events.onerror = () => { said.textContent = "Connecting again…"; };
    events.addEventListener("lines", (event) => show(JSON.parse(event.data)));
    events.addEventListener("trouble", (event) => { said.textContent = JSON.parse(event.data).message; });
  };
  const show = (lines) => {
    if (isPaused) {
      held = [...held, ...lines].slice(-MOST);
      said.textContent = `Paused; ${held.length} lines wait.`;
      return;
    }
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    const made = document.createDocumentFragment();
    for (const [at, number, text] of lines) made.append(line(at, number, text));
    log.append(made);
    while (log.childElementCount > MOST) log.firstElementChild.remove();
    if (isAtEnd) log.scrollTop = log.scrollHeight;
  };
  const line = (at, number, text) => {
    const row = document.createElement("div");
    if (number === null) row.className = "mark";
    const time = document.createElement("span");
    time.className = "at";
    time.textContent = `${at.slice(11, 23)} `;
    row.append(time);
    if (number > 1) { // of several replicas
      const which = document.createElement("span");
      which.className = "which";
      which.textContent = `${number} | `;
      row.append(which);
    }
    row.append(text);
    return row;
  };
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", isPaused);
    pause.textContent = isPaused ? "Go on" : "Pause";
    said.textContent = isPaused ? "Paused." : "Live.";
    if (!isPaused) {
      const lines = held;
      held = [];
      show(lines);
    }
  });
  let typing;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(connect, 400);
  });
  document.getElementById("log-controls").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("pagehide", () => events?.close());
  connect();
}

// ---- calls of the API, tried

for (const form of document.querySelectorAll("[data-call]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const shown = form.querySelector(".answer"), query = new URLSearchParams();
    let path = form.dataset.call, body;
    for (const input of form.querySelectorAll("[data-in]")) {
      const { in: place } = input.dataset;
      if (place === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(input.value));
      else if (place === "query" && input.value !== "") query.set(input.name, input.value);
      else if (place === "body") body = input.value;
    }
    const headers = { "X-CSRF-Token": csrf, ...(body === undefined ? {} : { "Content-Type": "application/json" }) };
    shown.hidden = false;
    shown.textContent = "…";
    try {
      const until = AbortSignal.timeout(15000);
      const answer = await fetch(query.size ? `${path}?${query}` : path, { method: form.dataset.method, headers, body, signal: until });
      const isEndless = answer.headers.get("Content-Type")?.startsWith("text/event-stream");
      const text = isEndless ? "(a stream of events: it is open)" : await answer.text();
      shown.textContent = `${answer.status} ${answer.statusText}\n${pretty(text)}`;
    } catch (trouble) {
      shown.textContent = `No answer: ${trouble.message}`;
    }
  });
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
