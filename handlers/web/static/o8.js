// Keeps pages true while they are looked at. Everything works without it, but live logs.
"use strict";

const csrf = document.querySelector("meta[name=csrf]")?.content ?? "";
const state = document.getElementById("link-state");

// ---- what is marked `data-live` is fetched anew when a deployment of its service has changed

const live = [...document.querySelectorAll("[data-live]")];
const EVERY_MS = 30000; // processors and memory make no event
let waiting = 0;

async function refresh() {
  waiting = 0;
  if (document.hidden) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (answer.redirected && new URL(answer.url).pathname === "/ui/login") return location.reload();
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(part.id);
    const isTyping = part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
    if (!fresh || isTyping || fresh.innerHTML === part.dataset.shown) continue;
    const place = focused(part);
    part.dataset.shown = fresh.innerHTML;
    part.innerHTML = fresh.innerHTML;
    place();
  }
  filter();
  times();
}

// Puts the keyboard's place back to the same link or button after its part was replaced.
function focused(part) {
  const one = document.activeElement;
  if (!part.contains(one)) return () => {};
  const kind = one.tagName, text = one.textContent, index = [...part.querySelectorAll(kind)].indexOf(one);
  return () => {
    const all = [...part.querySelectorAll(kind)];
    (all[index]?.textContent === text ? all[index] : all.find((other) => other.textContent === text))?.focus();
  };
}

function soon() {
  waiting ||= setTimeout(() => refresh().catch(() => {}), 250);
}

if (live.length && window.EventSource) {
  const names = new Set(live.map((part) => part.dataset.live));
  const only = names.size === 1 && !names.has("all") ? `?service=${encodeURIComponent([...names][0])}` : "";
  const events = new EventSource(`/api/v1/events${only}`);
  events.addEventListener("deployment", soon);
  events.onopen = () => { state.textContent = "live"; };
  events.onerror = () => { state.textContent = "connecting again"; };
  setInterval(soon, EVERY_MS);
  addEventListener("pagehide", () => events.close());
  addEventListener("visibilitychange", () => document.hidden || soon());
}

// ---- the list of services, filtered

function filter() {
  const input = document.querySelector("[data-filter]");
  if (!input) return;
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of document.querySelectorAll(`#${input.dataset.filter} tr[data-words]`)) {
    row.hidden = !words.every((word) => row.dataset.words.toLowerCase().includes(word));
  }
}
document.querySelector("[data-filter]")?.addEventListener("input", filter);

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
    if (number > 1) {
      const which = document.createElement("span");
      which.className = "number";
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
