// Draws the charts of the report from the JSON in #data, and its few controls. Data in, no text of a model, no request.
"use strict";
(() => {
  const { models, charts } = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const state = { hidden: new Set(), seeds: true, smooth: 1 };

  // ---- theme: the system's, until the button is used
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);
  const remember = (value) => { try { localStorage.setItem("octo-theme", value); } catch { /* a file:// page may not */ } };
  try { const saved = localStorage.getItem("octo-theme"); if (saved) root.dataset.theme = saved; } catch { /* as above */ }

  // ---- from data to plotly
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const colour = (model) => models[model][dark() ? "dark" : "light"];
  const narrow = () => innerWidth <= 640;
  const mouse = matchMedia("(hover: hover)").matches; // without one, dragging must scroll the page

  function axis(extra) {
    return { gridcolor: css("--line"), linecolor: css("--line"), zeroline: false, automargin: true, tickfont: { size: 11 },
      title: { font: { size: 11 }, standoff: 6 }, fixedrange: narrow(), ...extra };
  }

  function layout(extra) {
    return { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, autosize: true,
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: css("--muted") },
      margin: { l: 48, r: 14, t: 10, b: 38 }, dragmode: mouse && !narrow() ? "zoom" : false, modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--muted"), activecolor: css("--ink") },
      hoverlabel: { bgcolor: css("--card"), bordercolor: css("--line"), font: { color: css("--ink"), size: 12 } }, ...extra };
  }

  // Mean over the last `window` steps, at every point that has one.
  function smoothed(x, y, window) {
    if (window <= 1) return y;
    let first = 0;
    return y.map((_, i) => {
      while (x[first] <= x[i] - window) first += 1;
      const part = y.slice(first, i + 1);
      return part.reduce((a, b) => a + b, 0) / part.length;
    });
  }

  // Mean over seeds where all of them have a value: a seed that is behind does not bend the line.
  function mean(lines) {
    const seen = new Map();
    for (const { x, y } of lines) x.forEach((v, i) => seen.set(v, [...(seen.get(v) || []), y[i]]));
    const common = [...seen].filter(([, ys]) => ys.length === lines.length).sort((a, b) => a[0] - b[0]);
    return { x: common.map(([v]) => v), y: common.map(([, ys]) => ys.reduce((a, b) => a + b, 0) / ys.length) };
  }

  function lines(chart) {
    const data = [];
    for (const { x, y } of chart.limits || []) {
      data.push({ x, y, mode: "lines", hoverinfo: "skip", line: { color: css("--muted"), width: 1, dash: "dot", shape: "hv" } });
    }
    models.forEach((model, m) => {
      const own = chart.series.filter((s) => s.model === m)
        .map((s) => ({ x: s.x, y: chart.smooth ? smoothed(s.x, s.y, state.smooth) : s.y }));
      if (!own.length || state.hidden.has(m)) return;
      const line = { color: colour(m), dash: chart.solid ? "solid" : model.dash };
      if (own.length > 1 && state.seeds) {
        for (const s of own) data.push({ ...s, mode: "lines", hoverinfo: "skip", opacity: 0.38, line: { ...line, dash: "solid", width: 1 } });
      }
      data.push({ ...mean(own), name: model.name, mode: chart.markers ? "lines+markers" : "lines",
        line: { ...line, width: 2.4 }, marker: { symbol: model.symbol, size: 6, color: colour(m) },
        hovertemplate: `%{y:${chart.y.format}}` });
    });
    const x = axis({ title: { text: chart.x.title, font: { size: 11 }, standoff: 6 }, showgrid: false, unifiedhovertitle: { text: `${chart.x.title} %{x}` } });
    if (chart.x.log) {
      const ks = [...new Set(chart.series.flatMap((s) => s.x))].sort((a, b) => a - b);
      Object.assign(x, { type: "log", tickvals: ks, ticktext: ks.map(String) });
    }
    const y = axis({ tickformat: chart.y.format, rangemode: chart.y.zero ? "tozero" : "normal" });
    if (chart.y.max) y.range = [0, chart.y.max];
    const marks = chart.marks || [];
    return [data, layout({
      hovermode: "x unified", xaxis: x, yaxis: y,
      shapes: marks.map((k) => ({ type: "line", x0: k.x, x1: k.x, y0: 0, y1: 1, yref: "paper", line: { color: css("--muted"), width: 1, dash: "dot" } })),
      annotations: marks.map((k) => ({ x: k.x, y: 1, yref: "paper", xanchor: "right", yanchor: "top", text: k.label, showarrow: false, textangle: -90, font: { size: 10 } })),
    })];
  }

  // One line a model: hollow before RL, filled after; sampled and greedy beside each other (below on a phone).
  function dots(chart) {
    const data = [], modes = ["sampled", "greedy"];
    const names = [...new Set(chart.series.map((s) => s.model))].filter((m) => !state.hidden.has(m));
    for (const { model, mode, points } of chart.series) {
      if (state.hidden.has(model)) continue;
      const on = mode === "greedy" ? { xaxis: "x2", yaxis: "y2" } : {};
      const row = names.indexOf(model);
      const known = points.filter(Boolean);
      data.push({ ...on, x: known.map((p) => p[0]), y: known.map(() => row), mode: "lines", hoverinfo: "skip", opacity: 0.45, line: { color: colour(model), width: 3 } });
      points.forEach((p, after) => {
        if (!p) return;
        data.push({ ...on, x: [p[0]], y: [row], mode: "markers", name: `${models[model].name}, ${mode}, ${after ? "after" : "before"} RL`,
          error_x: { type: "data", symmetric: false, array: [p[2] - p[0]], arrayminus: [p[0] - p[1]], color: colour(model), thickness: 1.4, width: 4 },
          marker: { size: 11, symbol: "circle", color: after ? colour(model) : css("--card"), line: { color: colour(model), width: 2 } },
          hovertemplate: `%{x:.1%} [${(p[1] * 100).toFixed(1)}, ${(p[2] * 100).toFixed(1)}]<extra>%{fullData.name}</extra>` });
      });
    }
    const top = Math.max(...chart.series.flatMap((s) => s.points.filter(Boolean).map((p) => p[2])));
    const x = (text, extra) => axis({ tickformat: ".0%", range: [-0.015, Math.min(1.03, top * 1.06)], title: { text, font: { size: 12 }, standoff: 6 }, ...extra });
    const y = (extra) => axis({ tickvals: names.map((_, i) => i), ticktext: names.map((m) => models[m].name), range: [names.length - 0.5, -0.5],
      tickfont: { size: 12, color: css("--ink") }, fixedrange: true, ...extra });
    const place = narrow()
      ? { xaxis: x(modes[0], { anchor: "y" }), yaxis: y({ domain: [0.59, 1] }), xaxis2: x(modes[1], { anchor: "y2" }), yaxis2: y({ domain: [0, 0.41], anchor: "x2" }) }
      : { xaxis: x(modes[0], { domain: [0, 0.485] }), yaxis: y({}), xaxis2: x(modes[1], { domain: [0.515, 1], anchor: "y2" }), yaxis2: y({ anchor: "x2", showticklabels: false }) };
    return [data, layout({ hovermode: "closest", margin: { l: 70, r: 14, t: 10, b: 44 }, ...place })];
  }

  // ---- draw what can be seen; a chart in a closed <details> waits until it is opened
  const config = { displaylogo: false, responsive: true, modeBarButtons: [["toImage", "resetScale2d"]], toImageButtonOptions: { format: "svg" } };
  function draw() {
    for (const figure of document.querySelectorAll("[data-chart]")) {
      const closed = figure.closest("details:not([open])");
      if (closed) continue;
      const chart = charts[figure.dataset.chart];
      const [data, shape] = chart.kind === "dots" ? dots(chart) : lines(chart);
      Plotly.react(figure.querySelector(".plot"), data, shape, { ...config, displayModeBar: mouse ? "hover" : false });
    }
  }

  // ---- controls
  const press = (button, on) => button.setAttribute("aria-pressed", String(on));
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    remember(root.dataset.theme);
    draw();
  });
  prefersDark.addEventListener("change", draw);
  for (const chip of document.querySelectorAll(".chip")) {
    chip.addEventListener("click", () => {
      const model = Number(chip.dataset.model);
      if (!state.hidden.delete(model)) state.hidden.add(model);
      press(chip, !state.hidden.has(model));
      draw();
    });
  }
  document.getElementById("seeds")?.addEventListener("click", (event) => {
    state.seeds = !state.seeds;
    press(event.currentTarget, state.seeds);
    draw();
  });
  document.getElementById("each-seed")?.addEventListener("click", (event) => {
    const rows = document.querySelectorAll("tr.seed");
    rows.forEach((row) => { row.hidden = !row.hidden; });
    press(event.currentTarget, rows.length && !rows[0].hidden);
  });
  const select = document.getElementById("smooth");
  const longest = Math.max(0, ...Object.values(charts).filter((c) => c.smooth).flatMap((c) => c.series.map((s) => s.x.length)));
  select.value = longest >= 60 ? "10" : longest >= 30 ? "5" : "1";
  select.addEventListener("change", () => { state.smooth = Number(select.value); draw(); });
  state.smooth = Number(select.value);
  for (const more of document.querySelectorAll("details.lazy")) more.addEventListener("toggle", draw);
  let wide = narrow();
  addEventListener("resize", () => { if (narrow() !== wide) { wide = narrow(); draw(); } });
  draw();
})();
