"use strict";
// Draws the figures that Python made, keeps both charts of a task in step with its legend, and follows the page's theme.
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

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
        const figure = this.figures[plot.dataset.figure]?.[this.policy];
        if (!figure) continue;
        const data = figure.data.map((trace) => ({ ...trace, visible: !this.hidden.has(trace.meta) }));
        // A constant uirevision keeps the reader's zoom when a trace is switched off.
        const layout = merged(merged(figure.layout, theme()), { uirevision: "kept" });
        Plotly.react(plot, data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
      }
    }
  }

  const all = [...document.querySelectorAll("article[data-task]")].map((article) => new TaskCharts(article));
  dark.addEventListener("change", () => all.forEach((charts) => charts.draw()));
})();
