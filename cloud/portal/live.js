"use strict";
(() => {
  const every = 2000;
  const away = document.getElementById("away");
  const put = (node, words) => { if (node && node.textContent !== words) node.textContent = words; };
  const set = (node, name, value) => { if (node && node.getAttribute(name) !== value) node.setAttribute(name, value); };
  const signs = { fine: "✓", bad: "!", empty: "…" };

  const meter = (node, got) => {
    set(node, "class", "meter " + got.mood);
    put(node.querySelector(".sign"), signs[got.mood]);
    put(node.querySelector("[data-said]"), got.said);
    for (const cell of node.querySelectorAll("[data-part]")) put(cell, got[cell.dataset.part].toLocaleString("en-US"));
    let left = 0;
    for (const rect of node.querySelectorAll("[data-bar]")) {
      const width = got.widths[rect.dataset.bar];
      set(rect, "x", left.toFixed(2));
      set(rect, "width", String(width));
      left += width;
    }
  };

  const row = (node, got) => {
    node.classList.toggle("old", got.stale);
    for (const part of node.querySelectorAll("[data-is]")) put(part, got.words[part.dataset.is]);
    set(node.querySelector("time"), "datetime", new Date(got.measured_at).toISOString());
    set(node.querySelector(".spark"), "aria-label", got.words.past);
    set(node.querySelector(".line"), "d", got.line);
    set(node.querySelector(".area"), "d", got.area);
    set(node.querySelector(".dot"), "d", got.dot);
  };

  const station = (node, got) => {
    const state = node.querySelector(".state");
    set(state, "class", "state " + got.state);
    put(state.querySelector("span"), got.said);
    const rows = new Map();
    for (const one of node.querySelectorAll("[data-row]")) rows.set(one.dataset.row, one);
    for (const one of got.datastreams) row(rows.get(one.sensor + "/" + one.quantity), one);
  };

  const redraw = async () => {
    const answer = await fetch(location.href, { cache: "no-store" });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
    document.getElementById("live").replaceWith(fresh);
  };

  const update = async () => {
    const live = document.getElementById("live");
    const query = "?lang=" + live.dataset.lang + "&page=" + live.dataset.page;
    const answer = await fetch("/api/live.json" + query, { cache: "no-store", signal: AbortSignal.timeout(8000) });
    if (!answer.ok) throw new Error(String(answer.status));
    const got = await answer.json();
    put(document.getElementById("now"), got.now_text);
    if (got.layout !== live.dataset.layout) return redraw();
    for (const node of live.querySelectorAll("[data-meter]")) meter(node, got.meters[node.dataset.meter]);
    const stations = new Map();
    for (const node of live.querySelectorAll("[data-station]")) stations.set(node.dataset.station, node);
    for (const one of got.stations) station(stations.get(one.id), one);
  };

  const turn = async () => {
    try {
      if (!document.hidden) await update();
      away.hidden = true;
    } catch {
      away.hidden = false;
    }
    setTimeout(turn, every);
  };
  setTimeout(turn, every);
})();
