"use strict";

// Names the cell of a heat map at the pointer, at a touch, or at the cell that the arrow keys select. Without this script
// the drawing and its table are complete.
const SVG = "http://www.w3.org/2000/svg";

function readMap(cells) {
  const heat = cells.closest(".heat");
  const accounts = heat.dataset.accounts.split(" ");
  const values = heat.dataset.values.split(",");
  const distance = (row, column) => {
    const [high, low] = row > column ? [row, column] : [column, row];
    const text = values[(high * (high - 1)) / 2 + low];
    return text ? (Number(text) / 100).toFixed(2) : "unknown";
  };
  return { accounts, distance, output: document.getElementById(`${heat.id}-cell`), drawing: heat.querySelector(".heat-map") };
}

function markCell(drawing, size, row, column) {
  let mark = drawing.querySelector(".heat-mark");
  if (!mark) {
    mark = document.createElementNS(SVG, "path");
    mark.setAttribute("class", "heat-mark");
    drawing.append(mark);
  }
  mark.setAttribute("d", `M0 ${row}h${size}M0 ${row + 1}h${size}M${column} 0v${size}M${column + 1} 0v${size}`);
}

function showCell(cells, row, column) {
  const { accounts, distance, output, drawing } = readMap(cells);
  cells.dataset.row = row;
  cells.dataset.column = column;
  markCell(drawing, accounts.length, row, column);
  output.textContent = row === column ? accounts[row] : `${accounts[row]} and ${accounts[column]}: distance ${distance(row, column)}`;
}

function showPointer(event) {
  const cells = event.target.closest?.(".heat-cells");
  if (!cells) return;
  const { accounts, drawing } = readMap(cells);
  const box = drawing.getBoundingClientRect();
  const find = (at, start, length) => Math.min(Math.max(Math.floor(((at - start) / length) * accounts.length), 0), accounts.length - 1);
  showCell(cells, find(event.clientY, box.top, box.height), find(event.clientX, box.left, box.width));
}
document.addEventListener("pointermove", showPointer);
document.addEventListener("pointerdown", showPointer);

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
document.addEventListener("keydown", (event) => {
  const cells = event.target.closest?.(".heat-cells");
  const step = STEPS[event.key];
  if (!cells || !step || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const last = readMap(cells).accounts.length - 1;
  const move = (at, by) => (at === undefined ? 0 : Math.min(Math.max(Number(at) + by, 0), last));
  showCell(cells, move(cells.dataset.row, step[0]), move(cells.dataset.column, step[1]));
});
