"use strict";
// What a drawing needs to know before anything is drawn: pure functions, held to their word without a browser.

const HOW = ["finished", "raised", "died", "open"];
const CURVES = ["waiting", "queued", "running", "workers"];
const OUTCOMES = {
  ok: "got its answer",
  error: "got an error of the pool",
  wrong: "got a wrong answer",
  refused: "was refused",
  cancelled: "was cancelled",
  never: "is never told",
};
const ENDS = {
  finished: "finished",
  raised: "raised its error",
  died: "died with its process",
  open: "was never seen to end",
};
const GRAVITY = ["ok", "life", "finished", "raised", "cancelled", "refused", "open", "error", "died", "wrong", "never"];

// Times in words: three digits, and the unit that suits.
function duration(us) {
  if (us < 0) return "for ever";
  if (us < 1000) return `${Math.round(us)} µs`;
  if (us < 1e6) return `${short(us / 1e3)} ms`;
  return `${short(us / 1e6)} s`;
}

function short(number) {
  return number >= 100 ? number.toFixed(0) : number >= 10 ? number.toFixed(1) : number.toFixed(2);
}

function moment(us) {
  return `${(us / 1e6).toFixed(us < 1e7 ? 4 : 3)} s`;
}

// A curve comes as differences of time and values in turn.
function steps(curve) {
  const found = [];
  for (let i = 0, at = 0; i < curve.length; i += 2) {
    at += curve[i];
    found.push([at, curve[i + 1]]);
  }
  return found;
}

// The index of the last step at or before a moment; -1 before the first.
function indexAt(found, at) {
  let low = 0, high = found.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (found[middle][0] <= at) low = middle + 1; else high = middle;
  }
  return low - 1;
}

// The number just before a moment, and from it on.
function around(found, at) {
  const index = indexAt(found, at);
  const value = (i) => (i < 0 ? 0 : found[i][1]);
  const same = index >= 0 && found[index][0] === at;
  return [value(same ? index - 1 : index), value(index)];
}

// The state of the whole pool before `begin` and after `end`, a line for each number.
function states(curves, begin, end) {
  return CURVES.filter((name) => curves[name]).map((name) => {
    const before = around(curves[name], begin)[0];
    const after = around(curves[name], end)[1];
    return [name, before, after];
  });
}

// From time to place, 0 to 1, and back. Stretched: a quiet second gets little more room than a busy millisecond.
const POWER = 0.4;
const MOST_KNOTS = 1500;

function scale(times, end, stretched) {
  if (!stretched) return { x: (t) => t / end, t: (x) => x * end };
  let knots = [...new Set([0, ...times.filter((t) => t > 0 && t < end), end])].sort((a, b) => a - b);
  const every = Math.ceil(knots.length / MOST_KNOTS);
  if (every > 1) knots = knots.filter((_, i) => i % every === 0 || i === knots.length - 1);
  const places = [0];
  for (let i = 1; i < knots.length; i++) places.push(places[i - 1] + (knots[i] - knots[i - 1]) ** POWER);
  const whole = places[places.length - 1] || 1;
  const between = (from, to, value) => {
    let low = 1, high = from.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (from[middle] < value) low = middle + 1; else high = middle;
    }
    const share = (value - from[low - 1]) / (from[low] - from[low - 1] || 1);
    return to[low - 1] + share * (to[low] - to[low - 1]);
  };
  return { x: (t) => between(knots, places, t) / whole, t: (x) => between(places, knots, x * whole) };
}

// The times of everything that is drawn, for the scale.
function timesOf(line) {
  const times = line.marks.map((mark) => mark[1]);
  for (const job of line.jobs) {
    times.push(job[3]);
    if (job[4] >= 0) times.push(job[3] + job[4]);
    for (const run of job[7]) times.push(run[1], run[1] + run[2]);
  }
  for (const bar of line.bars) times.push(bar[1], Math.max(0, bar[2]));
  for (const band of line.bands) times.push(band[1], band[2]);
  return times;
}

// Everything that can be pointed at, with its words; `end` is never before `start`.
function itemsOf(line) {
  const items = [];
  const add = (lane, start, end, what, title, was, is, letter) =>
    items.push({ lane, start, end, what, title, was, is, letter: letter || "", count: 1 });
  const until = (at) => (at < 0 ? line.end : at);
  for (const [number, role, lane, at, took, outcome, error, runs] of line.jobs) {
    const ended = took < 0 ? line.end : at + took;
    const said = OUTCOMES[outcome] + (error ? `: ${error}` : "") + (took < 0 ? "" : ` after ${duration(took)}`);
    add(lane, at, ended, outcome, `job ${number} (${role || "job"})`, "not asked for", `its caller ${said}`, `${number}`);
    for (const [where, start, lasted, how] of runs)
      add(where, start, start + lasted, HOW[how], `job ${number} in ${line.lanes[where][0]}`,
        "queued", `${ENDS[HOW[how]]} after ${duration(lasted)}`, `${number}`);
  }
  for (const [lane, start, end, what, text] of line.bars) {
    const life = what === "life";
    const is = end < 0 ? (life ? "still there at the end" : text) : `${life ? "gone" : text} after ${duration(end - start)}`;
    add(lane, start, until(end), what, life ? text : `the pool's ${text.split(" ")[0]}`, life ? "not there" : "not asked for", is);
  }
  for (const [name, start, end, text] of line.bands) add(0, start, end, "band", `fault ${name}`, "healthy", text);
  for (const [lane, at, what, text] of line.marks) add(lane, at, at, what, text, "", "");
  line.strip.forEach(([at, state, text], i) => {
    const next = i + 1 < line.strip.length ? line.strip[i + 1][0] : line.end;
    add(1, at, next, state, `tree: ${text}`, i ? line.strip[i - 1][2] : "nothing is up", text);
  });
  return items.sort((a, b) => a.lane - b.lane || a.start - b.start || b.end - a.end);
}

const MARKS = new Set(["inject", "receipt", "heal", "healed", "strike", "phase", "suspect", "judged", "unjudged", "moved", "tree"]);
const NARROW = 5;
const MOST_ITEMS = 1500;

// What is too narrow and too near to be told apart is drawn as one: the gravest of it lends its look.
function clustered(items, x) {
  let near = NARROW, found = items;
  do {
    found = joined(items, x, near);
    near *= 2;
  } while (found.length > MOST_ITEMS);
  return found;
}

function joined(items, x, near) {
  const found = [];
  let last = null;
  for (const item of items) {
    const from = x(item.start), to = x(item.end);
    const small = to - from < near && item.what !== "life" && item.what !== "band";
    if (small && last && last.lane === item.lane && last.small && to - x(last.start) < 2 * near
        && MARKS.has(last.what) === MARKS.has(item.what)) {
      const grave = (what) => GRAVITY.indexOf(what);
      found[found.length - 1] = last = {
        ...last, end: Math.max(last.end, item.end), count: last.count + item.count, letter: "",
        what: grave(item.what) > grave(last.what) ? item.what : last.what,
        members: (last.members || [last]).concat(item),
      };
      continue;
    }
    last = { ...item, small };
    found.push(last);
  }
  return found;
}

// The words for one item: a title, when, and what was before and is after.
function words(item, line, curves) {
  const members = item.members || [item];
  const lines = item.count > 1
    ? [`${item.count} together, zoom in to see each`, ...members.slice(0, 4).map((one) => one.title), ...(item.count > 4 ? ["…"] : [])]
    : [item.title];
  const when = item.end > item.start
    ? `${moment(item.start)} to ${moment(item.end)} (${duration(item.end - item.start)})`
    : `at ${moment(item.start)}`;
  const own = item.count === 1 && item.was ? [["it", item.was, item.is]] : [];
  return { title: lines, when, rows: [...own, ...states(curves, item.start, item.end)] };
}

// Where it is said what something is without a picture.
function spoken(told) {
  const rows = told.rows.map(([name, before, after]) => `${name}: before ${before}, after ${after}`);
  return `${told.title.join(", ")}; ${told.when}; ${rows.join("; ")}`;
}

// Messages: a job on its way to a process, and its answer on the way back; a stub where it never came.
function messagesOf(line) {
  const found = [];
  for (const [number, , lane, at, took, outcome, , runs] of line.jobs) {
    if (!runs.length && outcome === "never") found.push({ kind: "lost", from: [lane, at], to: null, job: number });
    for (const [where, start, lasted, how] of runs) {
      found.push({ kind: "job", from: [lane, at], to: [where, start], job: number });
      const answered = took >= 0 && HOW[how] !== "died" && HOW[how] !== "open" && at + took >= start + lasted;
      found.push({ kind: answered ? "answer" : "lost", from: [where, start + lasted], to: answered ? [lane, at + took] : null, job: number });
    }
  }
  return found;
}

// Round times for the axis, never nearer than `least` to each other.
function ticks(view, width, least) {
  const found = [];
  const count = Math.max(1, Math.floor(width / least));
  for (let i = 0; i <= count; i++) {
    const t = view.t(i / count), next = view.t(Math.min(1, (i + 0.5) / count));
    const grain = 10 ** Math.floor(Math.log10(Math.max(1, Math.abs(next - t))));
    const round = Math.round(t / grain) * grain;
    const x = view.x(round) * width;
    if (x >= 0 && x <= width && (!found.length || x - found[found.length - 1].x >= least * 0.7)) found.push({ t: round, x });
  }
  return found;
}

if (typeof module !== "undefined") {
  module.exports = { around, clustered, duration, itemsOf, messagesOf, moment, scale, spoken, states, steps, ticks, timesOf, words };
}
