"use strict";
// The shell: draws what timeline.js has worked out, and listens to pointer and keyboard.

const SVG = "http://www.w3.org/2000/svg";
const DATA = JSON.parse(document.getElementById("timelines").textContent);
const LANE = 22;
const TOP = 16;
const PLOT = 58;
const PLOTS = ["latency", "throughput", "queue", "workers"];
const MOST_MESSAGES = 240;
const MOST_DOTS = 1500;
const GLYPHS = {
  inject: "▼", receipt: "✓", heal: "△", healed: "✓", strike: "✖", phase: "|", suspect: "?", judged: "!", unjudged: "?",
  moved: "~", tree: "◆",
};
const tip = document.getElementById("tip");
let shownAt = 0;

function make(name, attributes, parent, text) {
  const element = document.createElementNS(SVG, name);
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  if (text !== undefined) element.textContent = text;
  if (parent) parent.appendChild(element);
  return element;
}

function tag(name, text, parent) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (parent) parent.appendChild(element);
  return element;
}

// One drawing of one trial.
class Drawing {
  constructor(box, name) {
    this.box = box;
    this.line = DATA[name];
    this.curves = {};
    for (const key in this.line.curves) this.curves[key] = steps(this.line.curves[key]);
    this.items = itemsOf(this.line);
    this.messages = messagesOf(this.line);
    this.times = timesOf(this.line);
    this.stretched = true;
    this.from = 0;
    this.to = 1;
    this.current = 0;
    this.build();
    this.draw();
  }

  build() {
    const bar = tag("div", undefined, this.box);
    bar.className = "tools";
    const button = (label, help, act) => {
      const one = tag("button", label, bar);
      one.type = "button";
      one.title = help;
      one.setAttribute("aria-label", help);
      one.addEventListener("click", act);
      return one;
    };
    button("+", "zoom in", () => this.zoom(0.5));
    button("−", "zoom out", () => this.zoom(2));
    button("◀", "earlier", () => this.pan(-0.4));
    button("▶", "later", () => this.pan(0.4));
    button("all", "show all", () => this.show(0, 1));
    this.axis = button("true time", "use a true time axis: quiet stretches in full length", () => this.stretch());
    this.axis.setAttribute("aria-pressed", "false");
    this.axis.className = "stretch";
    this.said = tag("span", undefined, bar);
    this.said.className = "said";
    this.plot = tag("div", undefined, this.box);
    this.plot.className = "plot";
    this.plot.tabIndex = 0;
    this.plot.setAttribute("role", "group");
    this.plot.setAttribute("aria-label",
      `timeline of ${this.line.total} jobs in ${duration(this.line.end)}; arrow keys go from one to the next, plus and minus zoom, 0 shows all`);
    this.plot.addEventListener("keydown", (event) => this.key(event));
    this.plot.addEventListener("pointerover", (event) => this.over(event));
    this.plot.addEventListener("pointermove", (event) => this.moved(event));
    this.plot.addEventListener("pointerleave", () => this.left());
    this.plot.addEventListener("focusin", (event) => this.focused(event));
    this.plot.addEventListener("focusout", () => hide());
    this.plot.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    new ResizeObserver(() => { if (this.box.clientWidth && this.box.clientWidth !== this.drawn) this.draw(); }).observe(this.box);
  }

  // The part of the axis that is shown, from place 0 to 1.
  view() {
    const whole = scale(this.times, this.line.end, this.stretched);
    const span = this.to - this.from;
    return { x: (t) => (whole.x(t) - this.from) / span, t: (x) => whole.t(Math.min(1, Math.max(0, this.from + x * span))) };
  }

  draw() {
    this.drawn = this.box.clientWidth;
    const left = this.drawn < 600 ? 92 : 132;
    const width = Math.max(120, this.drawn - left - 12);
    const lanes = this.line.lanes.length;
    const bottom = TOP + lanes * LANE + 22;
    const height = bottom + PLOTS.length * (PLOT + 14) + 20;
    const old = this.plot.firstChild;
    const svg = make("svg", { width: left + width + 12, height, viewBox: `0 0 ${left + width + 12} ${height}`, "aria-hidden": "false" });
    this.at = this.view();
    this.left_ = left;
    this.width = width;
    this.bottom = bottom;
    this.x = (t) => left + this.at.x(t) * width;
    this.clip(svg, left, width, height);
    this.drawLanes(svg, left, width);
    const inside = make("g", { "clip-path": `url(#${this.clipped})` }, svg);
    this.drawBands(inside, height);
    this.shown = clustered(this.items.filter((item) => this.x(item.end) >= left && this.x(item.start) <= left + width), this.x);
    this.drawMessages(inside);
    this.elements = this.shown.map((item, index) => this.drawItem(inside, item, index));
    this.drawAxis(svg, left, width, bottom);
    PLOTS.forEach((name, i) => this.drawPlot(svg, inside, name, bottom + i * (PLOT + 14) + 8));
    this.cross = make("line", { class: "cross", y1: 0, y2: height, x1: -9, x2: -9 }, svg);
    if (old) this.plot.replaceChild(svg, old); else this.plot.appendChild(svg);
    this.say();
  }

  clip(svg, left, width, height) {
    this.clipped = `clip${Drawing.count = (Drawing.count || 0) + 1}`;
    const path = make("clipPath", { id: this.clipped }, make("defs", {}, svg));
    make("rect", { x: left - 6, y: 0, width: width + 12, height }, path);
  }

  say() {
    const part = this.to - this.from >= 1 ? "all" : `${moment(this.at.t(0))} to ${moment(this.at.t(1))}`;
    const many = this.hidden ? `; ${this.hidden} messages hidden, zoom in` : "";
    this.said.textContent = `${part} of ${duration(this.line.end)}${many}${this.line.note ? `; ${this.line.note}` : ""}`;
  }

  drawLanes(svg, left, width) {
    this.line.lanes.forEach(([name, kind], i) => {
      const y = TOP + i * LANE;
      make("rect", { x: 0, y, width: left + width + 12, height: LANE, class: `lane ${kind}${i % 2 ? " odd" : ""}` }, svg);
      const most = left < 100 ? 14 : 21;
      const text = make("text", { x: 4, y: y + 15, class: "name" }, svg, name.length > most ? `${name.slice(0, most - 1)}…` : name);
      if (name.length > most) make("title", {}, text, name);
    });
  }

  drawBands(inside, height) {
    for (const [name, start, end] of this.line.bands) {
      const from = this.x(start), to = Math.max(from + 3, this.x(end));
      make("rect", { x: from, y: 0, width: to - from, height, class: "band" }, inside);
      make("line", { x1: from, x2: from, y1: 0, y2: height, class: "edge" }, inside);
      make("text", { x: Math.max(from, this.left_) + 4, y: 11, class: "bandname" }, inside, name);
    }
  }

  drawMessages(inside) {
    const seen = this.messages.filter((m) => {
      const from = this.x(m.from[1]), to = m.to ? this.x(m.to[1]) : from;
      return to >= this.left_ && from <= this.left_ + this.width;
    });
    const lost = seen.filter((m) => m.kind === "lost");
    const rest = seen.filter((m) => m.kind !== "lost");
    this.hidden = rest.length > MOST_MESSAGES ? rest.length : 0;
    for (const message of [...(this.hidden ? [] : rest), ...lost.slice(0, MOST_MESSAGES)]) this.drawMessage(inside, message);
  }

  drawMessage(inside, { kind, from, to, job }) {
    const middle = (lane) => TOP + lane * LANE + LANE / 2;
    const x1 = this.x(from[1]), y1 = middle(from[0]);
    const group = make("g", { class: `message ${kind}`, "data-job": job }, inside);
    if (to) {
      const x2 = this.x(to[1]), y2 = middle(to[0]);
      const down = y2 > y1 ? 1 : -1;
      const start = y1 + down * 7, end = y2 - down * 8;
      make("path", { d: `M${x1},${start} L${x2},${end}` }, group);
      const angle = Math.atan2(end - start, x2 - x1), back = (turn) => [x2 - 6 * Math.cos(angle + turn), end - 6 * Math.sin(angle + turn)];
      make("path", { class: "head", d: `M${back(0.45)} L${x2},${end} L${back(-0.45)}` }, group);
      return;
    }
    const caller = this.line.lanes[from[0]][1] === "caller";
    const y2 = y1 + (caller ? 15 : -15), x2 = x1 + 7;
    make("path", { d: `M${x1},${y1} L${x2},${y2}` }, group);
    make("path", { d: `M${x2 - 4},${y2 - 4} L${x2 + 4},${y2 + 4} M${x2 - 4},${y2 + 4} L${x2 + 4},${y2 - 4}` }, group);
  }

  drawItem(inside, item, index) {
    const y = TOP + item.lane * LANE;
    const from = Math.max(this.x(item.start), this.left_ - 6);
    const to = Math.min(this.x(item.end), this.left_ + this.width + 6);
    const group = make("g", { class: `item ${item.what}${item.count > 1 ? " many" : ""}`, tabindex: -1, role: "img", "data-index": index }, inside);
    group.setAttribute("aria-label", spoken(words(item, this.line, this.curves)));
    if (item.what === "life") {
      make("rect", { x: from, y: y + 9, width: Math.max(2, to - from), height: 4, class: "shape" }, group);
      if (item.end < this.line.end || item.is.startsWith("gone")) make("path", { class: "shape end", d: `M${to},${y + 5} v12` }, group);
    } else if (GLYPHS[item.what]) {
      make("rect", { x: from - 6, y: y + 2, width: 12, height: LANE - 4, class: "hit" }, group);
      make("text", { x: from, y: y + 16, class: "glyph" }, group, item.count > 1 ? "⁝" : GLYPHS[item.what]);
    } else {
      const wide = Math.max(3, to - from);
      const inset = item.what === "band" ? 1 : 4;
      make("rect", { x: from, y: y + inset, width: wide, height: LANE - 2 * inset, rx: 2, class: "shape" }, group);
      if (item.what === "never") make("text", { x: to - 4, y: y + 15, class: "open" }, group, "»");
      const label = this.label(item);
      if (wide > 7 * label.length + 4 && label) make("text", { x: from + 4, y: y + 15, class: "label" }, group, label);
    }
    return group;
  }

  label(item) {
    const signs = { never: "…", wrong: "≠", error: "!", raised: "!", died: "✖", refused: "!", cancelled: "–", open: "…" };
    if (item.lane === 1) return item.is;
    if (item.count > 1) return `×${item.count}`;
    if (item.what === "band") return "";
    return `${item.letter}${signs[item.what] || ""}` || "";
  }

  drawAxis(svg, left, width, bottom) {
    const y = bottom - 20;
    make("line", { x1: left, x2: left + width, y1: y, y2: y, class: "axis" }, svg);
    const span = this.at.t(1) - this.at.t(0);
    for (const tick of ticks(this.at, width, 76)) {
      make("line", { x1: left + tick.x, x2: left + tick.x, y1: y, y2: y + 4, class: "axis" }, svg);
      const text = span < 1e4 ? `${(tick.t / 1e3).toFixed(2)} ms` : span < 1e6 && tick.t < 1e6 ? `${+(tick.t / 1e3).toFixed(1)} ms` : `${+(tick.t / 1e6).toFixed(3)} s`;
      make("text", { x: left + tick.x, y: y + 15, class: "tick", "text-anchor": tick.x > width - 30 ? "end" : tick.x < 20 ? "start" : "middle" }, svg, text);
    }
  }

  drawPlot(svg, inside, name, y) {
    make("rect", { x: this.left_, y, width: this.width, height: PLOT, class: "frame" }, svg);
    make("text", { x: 4, y: y + 14, class: "name" }, svg, name);
    const say = (text, line) => make("text", { x: 4, y: y + 14 + 13 * line, class: "tick" }, svg, text);
    const draw = { latency: "drawLatency", throughput: "drawThroughput", queue: "drawQueue", workers: "drawWorkers" }[name];
    this[draw](inside, y, say);
  }

  drawLatency(inside, y, say) {
    const told = this.line.jobs.filter((job) => job[4] >= 0);
    const { p50, p95, p100 } = this.line.quantiles;
    if (!told.length) return say("no answer", 1);
    const least = Math.max(1, Math.min(...told.map((job) => job[4] || 1)));
    const top = Math.log10(Math.max(p100, 2)), low = Math.min(Math.log10(least), top - 0.5);
    const place = (us) => y + PLOT - 4 - ((Math.log10(Math.max(us, 1)) - low) / (top - low)) * (PLOT - 8);
    const seen = told.filter((job) => { const x = this.x(job[3] + job[4]); return x >= this.left_ && x <= this.left_ + this.width; });
    const every = Math.ceil(seen.length / MOST_DOTS);
    for (const job of seen.filter((job, i) => i % every === 0 || job[4] >= p95))
      make("circle", { cx: this.x(job[3] + job[4]), cy: place(job[4]), r: 2.5, class: `dot ${job[5]}` }, inside);
    for (const [quantile, mark] of [[p50, "50"], [p95, "95"]])
      make("line", { x1: this.left_, x2: this.left_ + this.width, y1: place(quantile), y2: place(quantile), class: `quantile q${mark}` }, inside);
    say(`50 %: ${duration(p50)}`, 1);
    say(`95 %: ${duration(p95)}`, 2);
    say(`max ${duration(p100)}`, 3);
  }

  drawThroughput(inside, y, say) {
    const columns = Math.max(8, Math.floor(this.width / 14)), counts = new Array(columns).fill(0);
    for (const job of this.line.jobs) {
      const place = job[4] < 0 ? -1 : this.at.x(job[3] + job[4]);
      if (place >= 0 && place <= 1) counts[Math.min(columns - 1, Math.floor(place * columns))] += 1;
    }
    const rates = counts.map((count, i) => count / Math.max(1, this.at.t((i + 1) / columns) - this.at.t(i / columns)) * 1e6);
    const most = Math.max(...rates);
    const wide = this.width / columns;
    rates.forEach((rate, i) => {
      const high = rate ? Math.max(2, Math.sqrt(rate / most) * (PLOT - 6)) : 0;
      if (high) make("rect", { x: this.left_ + i * wide + 1, y: y + PLOT - high, width: wide - 2, height: high, class: "column" }, inside);
    });
    say("answers/s", 1);
    say(`max ${most >= 1000 ? `${short(most / 1000)}k` : short(most)}`, 2);
    say("(root scale)", 3);
  }

  drawQueue(inside, y, say) {
    const most = Math.max(1, ...this.curves.waiting.map((step) => step[1]));
    this.area(inside, this.curves.queued, most, y, "queued");
    this.step(inside, this.curves.waiting, most, y, "waiting");
    say(`max ${most}`, 1);
    say("█ queued", 2);
    say("╌ callers wait", 3);
  }

  drawWorkers(inside, y, say) {
    const most = Math.max(1, ...this.curves.workers.map((step) => step[1]));
    this.area(inside, this.curves.workers, most, y, "up");
    this.step(inside, this.curves.running, Math.max(most, ...this.curves.running.map((step) => step[1])), y, "running");
    say(`max ${most}`, 1);
    say("█ up", 2);
    say("╌ jobs run", 3);
  }

  // A step curve in view, at most two points a pixel.
  points(curve, most, y) {
    const place = (value) => y + PLOT - (value / most) * (PLOT - 6);
    const first = this.at.t(0), found = [[this.left_, place(around(curve, first)[1])]];
    let last = -1e9, high = 0;
    for (const [at, value] of curve) {
      const x = this.x(at);
      if (at <= first || x > this.left_ + this.width) continue;
      high = Math.max(high, value);
      if (x - last < 0.5) { found[found.length - 1][1] = Math.min(found[found.length - 1][1], place(value)); found.push([x, place(value)]); if (found.length > 4 * this.width) break; continue; }
      found.push([x, found[found.length - 1][1]], [x, place(value)]);
      last = x;
    }
    found.push([this.left_ + this.width, found[found.length - 1][1]]);
    return found;
  }

  area(inside, curve, most, y, name) {
    const found = this.points(curve, most, y);
    make("path", { class: `area ${name}`, d: `M${this.left_},${y + PLOT} L${found.join(" L")} L${this.left_ + this.width},${y + PLOT} Z` }, inside);
  }

  step(inside, curve, most, y, name) {
    make("path", { class: `step ${name}`, d: `M${this.points(curve, most, y).join(" L")}` }, inside);
  }

  // Pointer and keyboard.

  zoom(factor, at = 0.5) {
    const middle = this.from + at * (this.to - this.from);
    const span = Math.min(1, Math.max(0.0005, (this.to - this.from) * factor));
    this.show(middle - at * span, middle - at * span + span);
  }

  pan(share) {
    const span = this.to - this.from;
    this.show(this.from + share * span, this.to + share * span);
  }

  show(from, to) {
    const span = Math.min(1, to - from);
    this.from = Math.min(Math.max(0, from), 1 - span);
    this.to = this.from + span;
    hide();
    this.draw();
  }

  stretch() {
    this.stretched = !this.stretched;
    this.axis.setAttribute("aria-pressed", String(!this.stretched));
    this.show(0, 1);
  }

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const box = this.plot.getBoundingClientRect();
    this.zoom(event.deltaY < 0 ? 0.8 : 1.25, Math.min(1, Math.max(0, (event.clientX - box.left - this.left_) / this.width)));
  }

  over(event) {
    const group = event.target.closest && event.target.closest(".item");
    if (group) this.tell(+group.dataset.index, event.clientX, event.clientY);
  }

  moved(event) {
    const box = this.plot.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    const inPlots = y > this.bottom && x >= this.left_ && x <= this.left_ + this.width;
    this.cross.setAttribute("x1", inPlots ? x : -9);
    this.cross.setAttribute("x2", inPlots ? x : -9);
    if (inPlots) {
      const at = Math.round(this.at.t((x - this.left_) / this.width));
      show({ title: ["the pool"], when: `at ${moment(at)}`, rows: states(this.curves, at, at) }, event.clientX, event.clientY);
    } else if (!event.target.closest(".item")) hide();
  }

  left() {
    this.cross.setAttribute("x1", -9);
    this.cross.setAttribute("x2", -9);
    hide();
  }

  tell(index, x, y) {
    const item = this.shown[index];
    const told = words(item, this.line, this.curves);
    show(told, x, y);
    const numbers = new Set((item.members || [item]).map((one) => /^job (\d+)/.exec(one.title)).filter(Boolean).map((m) => m[1]));
    for (const message of this.plot.querySelectorAll(".message"))
      message.classList.toggle("lit", numbers.has(message.dataset.job));
  }

  focused(event) {
    const group = event.target.closest(".item");
    if (!group) return;
    this.tell(+group.dataset.index, ...below(group));
  }

  key(event) {
    const zooms = { "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2), 0: () => this.show(0, 1) };
    const moves = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
    if (event.key === "Escape") hide();
    else if (zooms[event.key]) { zooms[event.key](); this.plot.focus(); }
    else if (moves[event.key]) this.go(...moves[event.key]);
    else if (event.key === "Home" || event.key === "End") this.focusOn(event.key === "Home" ? 0 : this.shown.length - 1);
    else return;
    event.preventDefault();
  }

  go(right, down) {
    const inside = document.activeElement.closest && document.activeElement.closest(".item");
    if (!inside) return this.focusOn(Math.min(this.current, this.shown.length - 1));
    const now = this.shown[this.current];
    if (right) {
      const next = this.current + right;
      if (this.shown[next] && this.shown[next].lane === now.lane) this.focusOn(next);
      return;
    }
    const lanes = [...new Set(this.shown.map((item) => item.lane))].sort((a, b) => a - b);
    const lane = lanes[lanes.indexOf(now.lane) + down];
    if (lane === undefined) return;
    let best = -1;
    this.shown.forEach((item, i) => {
      const nearer = best < 0 || Math.abs(item.start - now.start) < Math.abs(this.shown[best].start - now.start);
      if (item.lane === lane && nearer) best = i;
    });
    this.focusOn(best);
  }

  focusOn(index) {
    if (!this.elements[index]) return;
    this.current = index;
    this.elements[index].focus();
  }
}

function show(told, x, y) {
  tip.textContent = "";
  told.title.forEach((text, i) => tag(i ? "div" : "strong", text, tip));
  tag("div", told.when, tip);
  const table = tag("table", undefined, tip);
  const head = tag("tr", undefined, tag("thead", undefined, table));
  for (const text of ["", "before", "after"]) tag("th", text, head);
  const body = tag("tbody", undefined, table);
  for (const [name, before, after] of told.rows) {
    const row = tag("tr", undefined, body);
    if (before !== after && name !== "it") row.className = "changed";
    tag("th", name, row);
    tag("td", `${before}`, row);
    tag("td", before !== after && name !== "it" ? `${after} ←` : `${after}`, row);
  }
  tip.hidden = false;
  shownAt = scrollY;
  place(x, y);
}

function place(x, y) {
  const wide = tip.offsetWidth, high = tip.offsetHeight;
  tip.style.left = `${Math.max(6, Math.min(x + 14, innerWidth - wide - 8))}px`;
  tip.style.top = `${y + 16 + high > innerHeight ? Math.max(4, y - high - 12) : y + 16}px`;
}

// Where the words for an item go that has the focus.
function below(item) {
  const box = item.getBoundingClientRect();
  return [Math.min(box.left + box.width / 2, box.left + 40), box.bottom];
}

function hide() {
  tip.hidden = true;
}

// A figure holds one view or several: buttons choose which trials are shown, one below the other.
function fill(figure, names) {
  const room = figure.querySelector(".drawings");
  room.textContent = "";
  for (const [name, title] of names) {
    if (!DATA[name]) continue;
    const box = tag("div", undefined, room);
    box.className = "drawing";
    box.dataset.trial = name;
    tag("div", title, box).className = "title";
    new Drawing(box, name);
  }
}

for (const figure of document.querySelectorAll("figure.timelines")) {
  const views = [...figure.querySelectorAll("[data-trials]")];
  const choose = (view) => {
    for (const one of views) one.setAttribute("aria-pressed", String(one === view));
    fill(figure, JSON.parse(view.dataset.trials));
  };
  for (const view of views) view.addEventListener("click", () => choose(view));
  const select = figure.querySelector("select");
  const start = () => {
    if (figure.dataset.filled) return;
    figure.dataset.filled = "yes";
    if (select) fill(figure, [[select.value, select.selectedOptions[0].text]]);
    else if (views.length) choose(views[0]);
  };
  if (select) select.addEventListener("change", () => fill(figure, [[select.value, select.selectedOptions[0].text]]));
  const folded = figure.closest("details");
  if (folded && !folded.open) folded.addEventListener("toggle", start, { once: true }); else start();
}

for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", () => {
    const text = button.previousElementSibling.textContent;
    const done = () => { button.textContent = "copied"; };
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, () => {}); else getSelection().selectAllChildren(button.previousElementSibling);
  });
}

// A link to something folded unfolds it.
function unfold() {
  const aim = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const folded = aim && (aim.closest("details") || aim.querySelector("details"));
  if (folded) folded.open = true;
  if (aim) aim.scrollIntoView();
}
addEventListener("hashchange", unfold);
unfold();
addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
// What moves away takes its words along; what was scrolled to by the keyboard keeps them.
addEventListener("scroll", () => {
  const item = document.activeElement.closest && document.activeElement.closest(".item");
  if (item && !tip.hidden) place(...below(item)); else if (Math.abs(scrollY - shownAt) > 60) hide();
}, { passive: true });
document.documentElement.dataset.ready = "yes";
