// Draws what /api/news tells. What came over the network is set as text only; the page's policy forbids anything else.
"use strict";

const TOKEN = new URLSearchParams(location.search).get("token");
const MOST_ROWS = 200;
const FEW_ROWS = 4;  // more at once are not faded in: a page that is always fading does nothing else
const MOST_POINTS = 150;
const FEW_POINTS = 30;  // a chart is as wide as this many at least
const STALE_AFTER = 8000;
const SVG = "http://www.w3.org/2000/svg";

const at = (id) => document.getElementById(id);

function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function draw(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// --- figures as people read them

function ms(value) {
  if (value === null || value === undefined) return "-";
  if (value < 10) return `${value.toFixed(1)} ms`;
  return value < 10000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

function bytes(size) {
  let value = size;
  for (const unit of ["B", "kB", "MB"]) {
    if (value < 1000) return `${value < 10 && unit !== "B" ? value.toFixed(1) : Math.round(value)} ${unit}`;
    value /= 1000;
  }
  return `${value.toFixed(1)} GB`;
}

function rate(value) {
  if (value === null || value === undefined) return "-";
  return value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en");
}

function percent(value) {
  if (value === null || value === undefined) return "-";
  return value === 1 ? "100 %" : `${(Math.floor(value * 10000) / 100).toFixed(value < 0.995 ? 1 : 2)} %`;
}

function clock(text) {
  const time = new Date(text);
  const two = (number, width = 2) => String(number).padStart(width, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${two(time.getMilliseconds(), 3)}`;
}

// --- the session

function showSession(session) {
  const about = session.about;
  if (about) {
    setText(at("workload"), `${about.kind.toLowerCase()} ${about.name} in namespace ${about.namespace}`);
    document.title = `${about.name} · interceptor`;
  }
  if (!session.running) {
    showState(session.text || "no intercept", "lost");
    return;
  }
  showState("live", "live");
  const pods = session.pods || [];
  const up = pods.filter((pod) => pod.up);
  const slowest = Math.max(...up.map((pod) => pod.ping_ms || 0), 0);
  const probes = Math.max(...up.map((pod) => pod.probe_ms || 0), 0);
  const ports = Object.entries(session.ports || {}).map(([pod, local]) => `${pod} → ${session.to}:${local}`).join(", ");
  const figures = [
    ["pods with a tunnel", `${up.length} of ${pods.length}`],
    ["tunnel round trip", slowest ? ms(slowest) : "-"],
    ["pod to local process", probes ? ms(probes) : "-"],
    ["streams in tunnels", String(up.reduce((sum, pod) => sum + pod.streams, 0))],
    ["connections read", String(session.connections ?? "-")],
    ["requests under way", String(session.requests_under_way ?? "-")],
    ["reconnects", String(session.reconnects ?? "-")],
    ["ports", ports || "-"],
  ];
  const list = at("figures");
  if (list.children.length !== figures.length) {
    list.replaceChildren(...figures.map(([name]) => make("div", {}, make("dt", {}, name), make("dd"))));
  }
  figures.forEach(([, value], index) => setText(list.children[index].lastChild, value));
}

function showState(text, kind) {
  setText(at("state"), text);
  at("state").className = `pill ${kind}`;
}

// --- the path

const MARKS = { ok: "✓", failed: "✗", skipped: "–" };

function hopItem(hop) {
  const words = { ok: "", failed: "failed: ", skipped: "not reached: " }[hop.state] || "";
  return make("li", { className: hop.state },
    make("b", {}, `${MARKS[hop.state] || ""} ${hop.name}`), " ",
    make("span", { className: "ms" }, hop.ms === null ? "" : ms(hop.ms)),
    make("small", {}, words + hop.text));
}

function showPath(path) {
  const failing = path.error ? { name: "API server", text: path.error, hint: path.hint } : path.failing;
  at("failing").hidden = !failing;
  if (failing) setText(at("failing"), `${failing.name}: ${failing.text}${failing.hint ? `; ${failing.hint}` : ""}`);
  const groups = new Map();
  for (const hop of path.hops) groups.set(hop.pod, [...(groups.get(hop.pod) || []), hop]);
  const lists = [...groups].map(([pod, hops]) => [
    ...(pod ? [make("h3", {}, pod)] : []),
    make("ol", { ariaLabel: pod ? `The path through pod ${pod}` : "The path to the pods" }, ...hops.map(hopItem)),
  ]);
  at("hops").replaceChildren(...lists.flat());
  if (!lists.length) at("hops").append(make("p", { className: "quiet" }, "nothing to probe"));
}

// --- routes

const routes = new Map();  // by key: the row's elements and its points

const keyOf = (row) => JSON.stringify([row.direction, row.service, row.route]);

function chart(name, height) {
  const svg = draw("svg", { class: "chart", width: 130, height, viewBox: `0 0 130 ${height}`, role: "img" });
  const title = draw("title", {});
  svg.append(title);
  return { svg, title, name, height };
}

// One or two series over the last minutes; `filled` is drawn from the ground up.
function plot(view, series, unit, filled) {
  const top = Math.max(...series.filter((value) => value !== null), 0);
  const span = Math.max(series.length, FEW_POINTS);
  const step = 130 / (span - 1);
  const start = span - series.length;
  const x = (index) => ((start + index) * step).toFixed(1);
  const y = (value) => (view.height - 1 - (top ? (value / top) * (view.height - 3) : 0)).toFixed(1);
  const points = series.map((value, index) => (value === null ? null : `${x(index)},${y(value)}`));
  const known = points.filter((point) => point !== null);
  const parts = [view.title];
  if (known.length) {
    const first = x(points.findIndex((point) => point !== null));
    parts.push(draw("polygon", { class: "area", points: `${first},${view.height} ${known.join(" ")} ${x(series.length - 1)},${view.height}` }));
    parts.push(draw("polyline", { class: "line", points: known.join(" ") }));
  }
  if (filled && filled.some((value) => value > 0)) {
    const ground = filled.map((value, index) => `${x(index)},${y(value)}`);
    parts.push(draw("polygon", { class: "fails", points: `${x(0)},${view.height} ${ground.join(" ")} ${x(filled.length - 1)},${view.height}` }));
  }
  view.svg.replaceChildren(...parts);
  const last = series.length ? series[series.length - 1] : null;
  setText(view.title, `${view.name}: ${last === null ? "-" : `${rate(last)} ${unit}`} now, at most ${rate(top)} ${unit}`);
}

function routeRow(row) {
  const cells = {};
  for (const name of ["rps", "success", "p50", "p95", "p99"]) {
    cells[name] = make("td", { className: "number" }, make("span"), make("small"));
  }
  const requests = chart("requests a second", 28);
  const slow = chart("95th percentile", 28);
  const name = row.service && row.direction === "outbound" ? `${row.service} ${row.route}` : row.route;
  const element = make("tr", {},
    make("td", { className: "route" }, name, row.direction === "outbound" ? make("small", {}, "outbound") : null),
    make("td", {}, requests.svg), cells.rps, cells.success, make("td", {}, slow.svg), cells.p50, cells.p95, cells.p99);
  return { element, cells, requests, slow };
}

const WORDS = { better: ["good", "▲ better"], worse: ["bad", "▼ worse"] };

function showFigure(cell, now, before, differs) {
  const [kind, words] = WORDS[differs] || ["", ""];
  setText(cell.firstChild, words ? `${now} ${words}` : now);
  cell.firstChild.className = kind;
  setText(cell.lastChild, before === null ? "" : `was ${before}`);
}

function entryOf(row) {
  const key = keyOf(row);
  let entry = routes.get(key);
  if (!entry) routes.set(key, entry = { points: [], view: null });
  return entry;
}

function showRoutes(told) {
  const order = [];
  for (const row of told.rows) {
    const entry = entryOf(row);
    entry.view = entry.view || routeRow(row);
    if (row.point) {
      entry.points.push(row.point);
      entry.points.splice(0, entry.points.length - MOST_POINTS);
    }
    const { cells, requests, slow, element } = entry.view;
    const now = row.now || {};
    const before = row.before;
    showFigure(cells.rps, rate(now.rps), before ? rate(before.rps) : null, "");
    showFigure(cells.success, percent(now.success), before ? percent(before.success) : null, row.differs.success);
    for (const name of ["p50", "p95", "p99"]) {
      showFigure(cells[name], ms(now[name]), before ? ms(before[name]) : null, row.differs[name]);
    }
    if (!row.differs.success) cells.success.firstChild.className = now.success < 0.95 ? "bad" : now.success < 0.999 ? "warn" : "";
    plot(requests, entry.points.map((point) => point[0]), "a second", entry.points.map((point) => point[1]));
    plot(slow, entry.points.map((point) => point[2]), "ms");
    order.push(element);
  }
  const keys = new Set(told.rows.map(keyOf));
  for (const key of routes.keys()) if (!keys.has(key)) routes.delete(key);
  const body = at("routes-rows");
  if (order.length !== body.children.length || order.some((element, index) => body.children[index] !== element)) {
    body.replaceChildren(...order);
  }
  at("routes-none").hidden = order.length > 0;
  const baseline = told.baseline.inbound || "none";
  const words = baseline.startsWith("none") ? `no figures from before the swap${baseline.slice(4)}` : `beside “was”: the cluster before the swap, from ${baseline}`;
  setText(at("baseline"), [`the local process over the last ${told.window} s; ${words}`, ...told.notes].join("; "));
}

function showHistory(history) {
  routes.clear();
  for (const row of history) entryOf(row).points = row.points.slice(-MOST_POINTS);
}

// --- requests

let paused = false;
let counted = [];  // what passed in the last seconds: [time, seen, left out, dropped]

function requestRow(row, calm) {
  const kind = row.failed ? "bad" : row.open ? "warn" : "";
  const open = make("button", { type: "button" }, row.path || "-");
  const element = make("tr", { className: [row.failed ? "failed" : "", calm ? "new" : ""].join(" ").trim() },
    make("td", {}, clock(row.time)), make("td", { className: "who", title: row.who }, row.who), make("td", {}, row.method),
    make("td", { className: "path" }, open, ...row.notes.map((note) => make("small", {}, note))),
    make("td", { className: kind }, row.failed ? `✗ ${row.outcome}` : row.outcome),
    make("td", { className: "number" }, ms(row.ms)), make("td", { className: "number" }, bytes(row.size)),
    make("td", {}, make("code", {}, row.trace.slice(0, 8))));
  element.addEventListener("click", () => showDetail(row.n, element));
  return element;
}

function showRequests(told) {
  if (told.trouble) {
    at("filter-error").hidden = false;
    setText(at("filter-error"), told.trouble);
  }
  const now = Date.now();
  const left = Object.values(told.left_out).reduce((sum, count) => sum + count, 0);
  counted = [...counted.filter(([time]) => now - time < 5000), [now, told.seen, left, told.dropped, told.left_out]];
  const body = at("rows");
  if (!paused) {
    const calm = told.rows.length <= FEW_ROWS;
    body.prepend(...told.rows.map((row) => requestRow(row, calm)).reverse());
    while (body.children.length > MOST_ROWS) body.lastChild.remove();
  }
  showFlood();
}

function showFlood() {
  const now = Date.now();
  counted = counted.filter(([time]) => now - time < 5000);
  const sum = (place) => counted.reduce((whole, one) => whole + one[place], 0);
  const kinds = {};
  for (const [, , , , left] of counted) for (const [kind, count] of Object.entries(left)) kinds[kind] = (kinds[kind] || 0) + count;
  const words = [`${rate(sum(1) / 5)} requests a second pass this filter`];
  if (sum(2)) {
    const what = Object.entries(kinds).sort().map(([kind, count]) => `${count} ${kind}`).join(", ");
    words.push(`${sum(2)} of the last 5 s are counted but not listed: ${what}`);
  }
  if (sum(3)) words.push(`${sum(3)} came too fast and were dropped unseen`);
  if (paused) words.push("paused: new ones are not listed");
  setText(at("flood"), words.join("; "));
}

// --- one request

let shown = null;
let shownRow = null;

async function ask(path, method = "GET") {
  return fetch(path, { method, headers: { Authorization: `Bearer ${TOKEN}` }, cache: "no-store" });
}

function fields(pairs) {
  const list = make("dl", { className: "fields" });
  for (const [name, value] of pairs) list.append(make("dt", {}, name), make("dd", {}, String(value)));
  return list;
}

function bodyText(encoded, size) {
  if (!encoded) return size ? `${bytes(size)}, not kept` : "";
  const data = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  const rest = size > data.length ? `\n… ${bytes(size - data.length)} more, not kept` : "";
  try {
    return pretty(new TextDecoder("utf-8", { fatal: !rest }).decode(data)) + rest;
  } catch {
    return `${bytes(size)} that are no text`;
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function part(title, headers, body) {
  return [make("h3", {}, title), headers.length ? fields(headers) : make("p", { className: "quiet" }, "no headers"),
    ...(body ? [make("pre", {}, body)] : [])];
}

async function showDetail(number, row) {
  if (shownRow) shownRow.removeAttribute("aria-current");
  shownRow = row;
  row.setAttribute("aria-current", "true");
  const answer = await ask(`api/requests/${number}`);
  at("detail").hidden = false;
  at("replayed").replaceChildren();
  shown = number;
  if (!answer.ok) {
    setText(at("detail-title"), "Request");
    at("replay").hidden = true;
    at("detail-body").replaceChildren(make("p", { className: "notice" }, await answer.text()));
    return;
  }
  const record = await answer.json();
  at("replay").hidden = record.direction !== "inbound";
  setText(at("replay"), `Replay ${record.method}`);
  setText(at("detail-title"), `${record.method} ${record.path}`);
  const caller = record.caller ? `${record.caller.workload || record.caller.pod} in ${record.caller.namespace}, ${record.peer}` : record.peer;
  const facts = [["time", record.time], [record.direction === "inbound" ? "from" : "to", caller], ["pod", `${record.pod}:${record.port}`],
    ["protocol", record.protocol], ["host", record.authority], ["status", record.status || "none"],
    ["latency", ms(record.latency_ms)], ["to its end", ms(record.duration_ms)]];
  if (record.grpc_status !== undefined) facts.push(["gRPC", `${record.grpc_status} ${record.grpc_message}`]);
  for (const name of ["caller_id", "cancelled", "unreadable", "upgrade", "ambiguities"]) if (record[name]) facts.push([name, record[name]]);
  const list = fields(facts);
  if (record.trace_id) {
    const only = make("button", { type: "button" }, "only this trace");
    only.addEventListener("click", () => { at("filters").elements.trace.value = record.trace_id; restart(); });
    list.append(make("dt", {}, "trace"), make("dd", {}, make("code", {}, record.trace_id), " ", only));
  }
  at("detail-body").replaceChildren(list,
    ...part("Request", record.request_headers, bodyText(record.request_body, record.request_size)),
    ...part("Answer", record.response_headers, bodyText(record.response_body, record.response_size)));
  at("detail-title").focus();
}

async function replay() {
  at("replay").disabled = true;
  at("replayed").replaceChildren(make("p", { className: "quiet" }, "sent to the local process …"));
  try {
    const answer = await ask(`api/requests/${shown}/replay`, "POST");
    const told = answer.ok || answer.status === 409 ? await answer.json() : { refused: await answer.text() };
    if (told.refused || told.error) {
      at("replayed").replaceChildren(make("p", { className: "notice" }, told.refused || `no answer from ${told.to}: ${told.error}`));
      return;
    }
    const same = told.differences.length ? `${told.differences.length} differences` : "the same answer";
    const pieces = [make("h3", {}, `Replayed to ${told.to}: ${told.answer.status} in ${ms(told.answer.ms)}, ${same}`),
      make("p", { className: "quiet" }, `it was ${told.recorded.status || "none"} in ${ms(told.recorded.ms)}`)];
    if (told.without.length) pieces.push(make("p", { className: "quiet" }, `sent without ${told.without.join(", ")}, which is hidden here; interceptor dash --show-secrets keeps it`));
    if (told.differences.length) pieces.push(make("pre", {}, told.differences.join("\n")));
    if (told.answer.body) pieces.push(make("pre", {}, pretty(told.answer.body)));
    at("replayed").replaceChildren(...pieces);
  } catch (error) {
    at("replayed").replaceChildren(make("p", { className: "notice" }, `interceptor dash does not answer: ${error.message}`));
  } finally {
    at("replay").disabled = false;
  }
}

function closeDetail() {
  at("detail").hidden = true;
  if (shownRow) {
    shownRow.removeAttribute("aria-current");
    const button = shownRow.querySelector("button");
    if (button && button.isConnected) button.focus();
  }
  shownRow = null;
}

// --- the news

let reading = null;
let heard = Date.now();

function tell(news) {
  heard = Date.now();
  if (news.history) showHistory(news.history);
  if (news.session) showSession(news.session);
  if (news.path) showPath(news.path);
  if (news.routes) showRoutes(news.routes);
  if (news.requests) showRequests(news.requests);
  else if (counted.length) showFlood();
}

function filters() {
  const found = new URLSearchParams();
  for (const [name, value] of new FormData(at("filters"))) if (value.trim()) found.set(name, value.trim());
  return found;
}

// True: ask again. A filter that is not understood waits for the next.
async function read(abort) {
  const answer = await fetch(`api/news?${filters()}`, { headers: { Authorization: `Bearer ${TOKEN}` }, cache: "no-store", signal: abort.signal });
  const wrong = answer.status === 400 ? (await answer.json()).refused : "";
  at("filter-error").hidden = !wrong;
  setText(at("filter-error"), wrong);
  if (wrong) return false;
  if (!answer.ok) throw new Error(await answer.text());
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return true;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) tell(JSON.parse(line));
  }
}

async function listen() {
  const abort = reading = new AbortController();
  while (!abort.signal.aborted) {
    try {
      if (!await read(abort)) return;
    } catch (error) {
      if (abort.signal.aborted) return;
      showState(`interceptor dash is away: ${error.message.trim()}`, "lost");
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function restart() {
  if (reading) reading.abort();
  at("rows").replaceChildren();
  counted = [];
  listen();
}

let typing = 0;
at("filters").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(restart, 400); });
at("filters").addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(typing); restart(); });
at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").setAttribute("aria-pressed", String(paused));
  setText(at("pause"), paused ? "Go on" : "Pause");
  showFlood();
});
at("clear").addEventListener("click", () => at("rows").replaceChildren());
at("replay").addEventListener("click", replay);
at("close").addEventListener("click", closeDetail);
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !at("detail").hidden) closeDetail(); });
setInterval(() => {
  if (Date.now() - heard > STALE_AFTER) showState(`no news for ${Math.round((Date.now() - heard) / 1000)} s`, "lost");
}, 1000);
listen();
