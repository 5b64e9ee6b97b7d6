"use strict";

// Draws the loss chart: both curves of a few accounts, or the median, the band and the outliers of many.
(() => {
  const COLOURS = ["#5b7bf0", "#3fa463", "#e0803a", "#c25bd6", "#d64f4f", "#2aa5a5", "#b08a2e", "#7a8699"];
  const OUTLIER_COLOURS = ["#d64f4f", "#c25bd6", "#b08a2e", "#2aa5a5", "#7a8699", "#3fa463"];
  const DASH = [5, 4];
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

  const hasValues = (values) => values.some((value) => value !== null);

  // A line for the training loss of each account, and a dashed one in the same colour for its validation loss.
  function singleLines(curves) {
    return curves.flatMap(({ account, steps, training, validation }, index) => {
      const prefix = curves.length === 1 ? "" : `${account} `;
      const common = { steps, colour: COLOURS[index % COLOURS.length], account };
      return [
        { ...common, label: prefix + "training", values: training, width: 2 },
        { ...common, label: prefix + "validation", values: validation, width: 1.5, dash: DASH },
      ].filter((line) => hasValues(line.values));
    });
  }

  // The edges of a band are invisible lines; the area between them is filled.
  function bandLines(band, name, colour, dash) {
    if (!band.steps.length) return [];
    const common = { steps: band.steps, colour, width: 0 };
    return [
      { ...common, label: `${name} 90 %`, values: band.high, isEdge: true },
      { ...common, label: `${name} 10 %`, values: band.low, isEdge: true },
      { ...common, label: `${name} median`, values: band.median, width: 2.5, dash },
    ];
  }

  function buildLines({ curves, summary }) {
    if (!summary) return singleLines(curves);
    const outliers = curves.map(({ account, steps, training }, index) => (
      { steps, label: account, account, values: training, colour: OUTLIER_COLOURS[index % OUTLIER_COLOURS.length], width: 1.5 }
    ));
    return [
      ...bandLines(summary.training, "training", COLOURS[0]),
      ...bandLines(summary.validation, "validation", COLOURS[2], DASH),
      ...outliers,
    ];
  }

  function bands(lines) {
    return lines.flatMap((line, index) => line.isEdge && line.label.endsWith("90 %")
      ? [{ series: [index + 1, index + 2], fill: `${line.colour}38` }] : []);
  }

  function options(lines, width) {
    const axis = { stroke: style("--muted"), grid: { stroke: style("--line"), width: 1 }, ticks: { stroke: style("--line"), width: 1 } };
    const hoveredName = document.getElementById("named");
    const format = (_, value) => (value === null || value === undefined ? "–" : value.toFixed(4));
    return {
      width,
      height: Math.max(220, Math.min(420, width / 2)),
      scales: { x: { time: false } },
      legend: { show: lines.length <= 16 },
      focus: { alpha: hoveredName && lines.length > 2 ? 0.2 : 1 },
      cursor: { focus: { prox: hoveredName ? 24 : -1 } },
      axes: [{ ...axis, label: "step", labelSize: 22 }, { ...axis, size: 56 }],
      bands: bands(lines),
      series: [
        { label: "step" },
        ...lines.map((line) => ({
          label: line.label, stroke: line.colour, dash: line.dash, width: line.width, value: format, spanGaps: true,
          points: { show: line.steps.length < 2 },
        })),
      ],
      hooks: {
        setSeries: [(_, index) => { if (hoveredName) hoveredName.textContent = index ? lines[index - 1].label : "Point at a curve to see its account."; }],
      },
    };
  }

  function describe({ curves, summary }) {
    if (summary) return `Loss by step: median, band and ${curves.length === 1 ? "1 outlier" : `${curves.length} outliers`}. The tables below contain the values.`;
    return `Loss by step, ${curves.length === 1 ? "1 account" : `${curves.length} accounts`}`;
  }

  async function draw() {
    const chart = document.getElementById("chart");
    if (!chart) return;
    const version = `${chart.dataset.version} ${chart.dataset.curves} ${chart.clientWidth} ${style("--text")}`;
    if (version === drawnVersion) return;
    drawnVersion = version;
    const response = await fetch(chart.dataset.curves);
    if (!response.ok) return;
    const loaded = await response.json();
    const lines = buildLines(loaded);
    const data = uPlot.join(lines.map((line) => [line.steps, line.values]));
    if (plot) plot.destroy();
    plot = lines.length ? new uPlot(options(lines, chart.clientWidth), data, chart) : null;
    chart.setAttribute("role", "img");
    chart.setAttribute("aria-label", describe(loaded));
  }

  document.addEventListener("DOMContentLoaded", draw);
  document.addEventListener("htmx:after:swap", draw);
  window.addEventListener("resize", draw);
  document.addEventListener("themeChanged", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
