"use strict";

// Draws the loss chart: the training curves of all accounts, or both curves of one account.
(() => {
  const COLOURS = ["#5b7bf0", "#3fa463", "#e0803a", "#c25bd6", "#d64f4f", "#2aa5a5", "#b08a2e", "#7a8699"];
  let plot = null;
  let drawnVersion = "";

  // The variables contain both themes; only a computed colour can be drawn on a canvas.
  function style(name) {
    const chart = document.getElementById("chart");
    chart.style.color = `var(${name})`;
    const colour = getComputedStyle(chart).color;
    chart.style.color = "";
    return colour;
  }

  function series(curves) {
    const isSingle = curves.length === 1;
    return curves.flatMap((curve, index) => {
      const colour = COLOURS[index % COLOURS.length];
      const kinds = [{ label: isSingle ? "training" : curve.account, values: curve.training, dash: undefined }];
      if (isSingle) kinds.push({ label: "validation", values: curve.validation, dash: [4, 4] });
      return kinds
        .filter((kind) => kind.values.some((value) => value !== null))
        .map((kind) => ({ ...kind, steps: curve.steps, colour, width: kind.dash ? 1.5 : 2 }));
    });
  }

  function options(lines, width) {
    const axis = { stroke: style("--muted"), grid: { stroke: style("--line"), width: 1 }, ticks: { stroke: style("--line"), width: 1 } };
    const hoveredName = document.getElementById("named");
    return {
      width,
      height: Math.max(220, Math.min(420, width / 2)),
      scales: { x: { time: false } },
      legend: { show: lines.length <= 8 },
      focus: { alpha: lines.length > 2 ? 0.15 : 1 },
      cursor: { focus: { prox: 24 } },
      axes: [{ ...axis, label: "step", labelSize: 22 }, { ...axis, size: 56 }],
      series: [
        { label: "step" },
        ...lines.map((line) => ({ label: line.label, stroke: line.colour, dash: line.dash, width: line.width, spanGaps: true, points: { show: line.steps.length < 2 } })),
      ],
      hooks: {
        setSeries: [(_, index) => { if (hoveredName) hoveredName.textContent = index ? lines[index - 1].label : "Point at a curve to see its account."; }],
      },
    };
  }

  async function draw() {
    const chart = document.getElementById("chart");
    if (!chart) return;
    const version = `${chart.dataset.version} ${chart.dataset.curves} ${chart.clientWidth} ${style("--text")}`;
    if (version === drawnVersion) return;
    drawnVersion = version;
    const response = await fetch(chart.dataset.curves);
    if (!response.ok) return;
    const lines = series((await response.json()).curves);
    const data = uPlot.join(lines.map((line) => [line.steps, line.values]));
    if (plot) plot.destroy();
    plot = lines.length ? new uPlot(options(lines, chart.clientWidth), data, chart) : null;
    chart.setAttribute("role", "img");
    chart.setAttribute("aria-label", `Loss by step, ${lines.length === 1 ? "one curve" : `${lines.length} curves`}`);
  }

  document.addEventListener("DOMContentLoaded", draw);
  document.addEventListener("htmx:after:swap", draw);
  window.addEventListener("resize", draw);
  document.addEventListener("themeChanged", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
