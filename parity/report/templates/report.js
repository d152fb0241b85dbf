"use strict";
// Draws the figures from the numbers that Python wrote, keeps both charts of a task in step with its legend, and follows the
// page's theme.
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  // A point for each evaluation, as long as they can be told apart; more only cost the browser time.
  const MOST_MARKERS = 3000;
  const GREY = "#808890";
  const BASE = {
    margin: { l: 56, r: 12, t: 12, b: 46 }, showlegend: false, hovermode: "closest", hoverdistance: 30,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hoverlabel: { align: "left" },
    xaxis: { title: { standoff: 8 }, zeroline: false, automargin: true },
    yaxis: { title: { standoff: 8 }, zeroline: false, automargin: true },
    uirevision: "kept", // keeps the reader's zoom when a line is switched off
  };

  function theme() {
    const style = getComputedStyle(document.documentElement);
    const value = (name) => style.getPropertyValue(name).trim();
    const axis = { gridcolor: value("--line"), linecolor: value("--line"), tickcolor: value("--line") };
    return {
      font: { color: value("--text"), size: 12, family: getComputedStyle(document.body).fontFamily },
      hoverlabel: { bgcolor: value("--page"), bordercolor: value("--muted"), font: { color: value("--text"), size: 12 } },
      xaxis: axis,
      yaxis: axis,
    };
  }

  function merged(base, extra) {
    const result = { ...base };
    for (const [key, value] of Object.entries(extra)) {
      const nested = value && typeof value === "object" && !Array.isArray(value);
      result[key] = nested ? merged(base[key] || {}, value) : value;
    }
    return result;
  }

  const horizontal = (value) => ({
    type: "line", xref: "paper", x0: 0, x1: 1, y0: value, y1: value, layer: "below",
    line: { color: GREY, width: 1.2, dash: "dash" },
  });

  // Digits as the tables of the page have them.
  const short = (value, digits = 4) => (value === null ? "–" : Number(value.toPrecision(digits)).toString().replace("-", "−"));
  const thousands = new Intl.NumberFormat("en-US"); // made once: toLocaleString makes one for every number
  const count = (value) => thousands.format(Math.round(value));
  const seconds = (value) => (value === null ? "–" : value < 120 ? `${value.toFixed(1)} s` : `${(value / 60).toFixed(1)} min`);

  function curves(of, axis, policy) {
    const points = of.seeds.reduce((sum, seed) => sum + seed.steps.length, 0);
    const mode = points > MOST_MARKERS ? "lines" : "lines+markers";
    const scored = of.zero !== null && of.full !== null;
    const score = (value) => (value === null || !scored ? "–" : ((value - of.zero) / (of.full - of.zero)).toFixed(2).replace("-", "−"));
    const first = (line, i, value) =>
      `<b>${line.label}</b><br>step ${count(line.steps[i])}, ${seconds(line.train_s[i])} of training<br>` +
      `return ${short(value)} (score ${score(value)})<br>`;
    const data = of.seeds.map((seed) => {
      const { return: y, deviation, episodes } = seed[policy];
      return {
        x: seed[axis], y, mode, name: seed.label, meta: seed.key, opacity: seed.complete ? 0.55 : 0.85,
        line: { color: seed.colour, width: 1.1, dash: seed.complete ? "solid" : "dot" },
        marker: { size: 3.5, symbol: seed.symbol },
        hovertemplate: "%{text}<extra></extra>",
        text: y.map((value, i) => `${first(seed, i, value)}deviation over ${episodes[i]} episodes: ${short(deviation[i], 3)}`),
      };
    });
    for (const mean of of.means[policy]) {
      const band = { x: mean[axis], mode: "lines", line: { width: 0 }, hoverinfo: "skip", meta: mean.key };
      data.push(
        { ...band, y: mean.low, name: `${mean.label}, lower bound` },
        { ...band, y: mean.high, name: `${mean.label}, upper bound`, fill: "tonexty", fillcolor: mean.band },
        {
          x: mean[axis], y: mean.return, mode: mean.steps.length > 200 ? "lines" : "lines+markers", name: mean.label, meta: mean.key,
          line: { color: mean.colour, width: 3 }, marker: { size: 7, symbol: mean.symbol },
          hovertemplate: "%{text}<extra></extra>",
          text: mean.return.map((value, i) => `${first(mean, i, value)}${of.confidence} interval ${short(mean.low[i])} to ${short(mean.high[i])}`),
        },
      );
    }
    const anchors = Object.entries(of.anchors).filter(([, value]) => value !== null);
    return {
      data,
      layout: {
        xaxis: { title: { text: of.titles[axis] }, rangemode: "tozero" },
        yaxis: { title: { text: `${of.titles.return}, ${policy} policy` }, range: of.range },
        shapes: anchors.map(([, value]) => horizontal(value)),
        // Curves start low on the left and end high on the right: the labels keep out of their way.
        annotations: anchors.map(([label, value]) => {
          const best = label === "best known";
          return {
            text: `${label}: ${short(value, 3)}`, xref: "paper", y: value, showarrow: false, font: { color: GREY, size: 11 },
            x: best ? 0 : 1, xanchor: best ? "left" : "right", yanchor: best ? "bottom" : "top",
          };
        }),
      },
    };
  }

  class TaskCharts {
    constructor(article) {
      this.figures = figures[article.dataset.task] || {};
      this.plots = [...article.querySelectorAll(".plot")];
      this.buttons = [...article.querySelectorAll("button[data-key]")];
      this.groups = [...article.querySelectorAll("button[data-framework]")];
      this.policy = "deterministic";
      this.hidden = new Set();
      for (const button of this.buttons) {
        button.addEventListener("click", () => this.show([button], button.getAttribute("aria-pressed") === "false"));
      }
      for (const group of this.groups) {
        const members = [...group.parentElement.querySelectorAll("button[data-key]")];
        group.addEventListener("click", () => this.show(members, group.getAttribute("aria-pressed") === "false"));
      }
      for (const radio of article.querySelectorAll('.policy input[type="radio"]')) {
        radio.addEventListener("change", () => { this.policy = radio.value; this.draw(); });
      }
      this.draw();
    }

    show(buttons, visible) {
      for (const button of buttons) {
        button.setAttribute("aria-pressed", String(visible));
        this.hidden[visible ? "delete" : "add"](button.dataset.key);
      }
      for (const group of this.groups) {
        const pressed = group.parentElement.querySelector('button[data-key][aria-pressed="true"]') !== null;
        group.setAttribute("aria-pressed", String(pressed));
      }
      this.draw();
    }

    draw() {
      for (const plot of this.plots) {
        const { figure: name, curves: whose } = plot.dataset;
        const of = this.figures.curves?.[whose];
        const figure = of ? curves(of, name === "train_s" ? "train_s" : "steps", this.policy) : this.figures[name];
        if (!figure) continue;
        const data = figure.data.map((trace) => ({ ...trace, visible: !this.hidden.has(trace.meta) }));
        const layout = merged(merged(BASE, figure.layout), theme());
        Plotly.react(plot, data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
      }
    }
  }

  const all = [...document.querySelectorAll("article[data-task]")].map((article) => new TaskCharts(article));
  const redraw = () => all.forEach((charts) => charts.draw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  // On paper it is black on white and narrower, whatever the screen is.
  const paper = matchMedia("print");
  paper.addEventListener("change", () => {
    redraw();
    all.forEach((charts) => charts.plots.filter((plot) => plot.data).forEach((plot) => Plotly.Plots.resize(plot)));
    if (paper.matches) document.querySelectorAll("details.print").forEach((details) => { details.open = true; });
  });
})();
