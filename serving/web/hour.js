// The last hour: noise as a line, the served scale as steps below it.

import { $, show } from "./service.js";

const LEFT = 112, RIGHT = 890, TOP = 24, BOTTOM = 116, STEPS = 146, STEPS_END = 186;

const draw = (name, attributes, text) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  if (text !== undefined) made.textContent = text;
  $("hour").append(made);
  return made;
};

export const drawHour = (minutes, scales) => {
  $("hour").toggleAttribute("hidden", minutes.length === 0);
  $("hour").replaceChildren();
  if (minutes.length === 0) { show("hour-note", "Nothing was asked for in the last hour."); return; }
  const now = Date.now();
  const x = at => RIGHT - (RIGHT - LEFT) * Math.min(1, Math.max(0, (now - Date.parse(at) - 30000) / 3600000));
  const heard = minutes.filter(minute => minute.snr_db !== null);
  const levels = heard.map(minute => minute.snr_db);
  const low = Math.min(-5, ...levels), high = Math.max(30, ...levels);
  const y = level => BOTTOM - (BOTTOM - TOP) * (level - low) / (high - low);
  for (const level of [0, 10, 20, 30]) {
    draw("line", { class: "grid", x1: LEFT, x2: RIGHT, y1: y(level), y2: y(level) });
    draw("text", { class: level % 30 ? "end minor" : "end", x: LEFT - 8, y: y(level) + 4 }, `${level} dB`);
  }
  draw("polyline", { class: "noise", points: heard.map(minute => `${x(minute.at)},${y(minute.snr_db)}`).join(" ") });
  for (const minute of heard) {
    const dot = draw("circle", { class: "dot", cx: x(minute.at), cy: y(minute.snr_db), r: 4 });
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = `${minute.snr_db.toFixed(1)} dB, ${minute.scale}, ${minute.requests} requests`;
    dot.append(title);
  }
  const used = scales.filter(scale => minutes.some(minute => minute.scale === scale));
  const row = scale => used.length === 1 ? (STEPS + STEPS_END) / 2
    : STEPS + (STEPS_END - STEPS) * used.indexOf(scale) / (used.length - 1);
  for (const scale of used) draw("text", { class: "end", x: LEFT - 8, y: row(scale) + 4 }, scale);
  const width = (RIGHT - LEFT) / 60;
  for (const minute of minutes.filter(minute => used.includes(minute.scale))) {
    const middle = x(minute.at);
    draw("line", { class: "step", x1: middle - width / 2 + 2, x2: middle + width / 2 - 2, y1: row(minute.scale), y2: row(minute.scale) });
  }
  for (const [ago, text] of [[60, "60 min ago"], [30, "30 min ago"], [0, "now"]])
    draw("text", { class: ago === 60 ? "" : ago ? "middle" : "end", x: RIGHT - (RIGHT - LEFT) * ago / 60, y: 214 }, text);
  const requests = minutes.reduce((sum, minute) => sum + minute.requests, 0);
  const [least, most] = [Math.min(...levels).toFixed(0), Math.max(...levels).toFixed(0)];
  const level = levels.length ? `; signal to noise ${least === most ? "" : `${least} to `}${most} dB` : "";
  show("hour-note", `${requests} ${requests === 1 ? "answer" : "answers"} of this worker at ${used.join(", ")}${level}. The line is the median noise of a minute, the bars its scale.`);
};
