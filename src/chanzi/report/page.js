const root = document.documentElement;
const figures = JSON.parse(document.getElementById("figures").textContent);
const variable = (name) => getComputedStyle(root).getPropertyValue(name).trim();

function themed(layout) {
  const ink = variable("--ink"), line = variable("--line");
  const axis = (a) => Object.assign({}, a, { gridcolor: line, linecolor: line, zerolinecolor: line });
  return Object.assign({}, layout, {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: ink, family: "system-ui, sans-serif", size: 12 },
    xaxis: axis(layout.xaxis), yaxis: axis(layout.yaxis), autosize: true,
    modebar: { bgcolor: "rgba(0,0,0,0)", color: variable("--soft"), activecolor: ink },
  });
}

const config = { responsive: true, displaylogo: false,  modeBarButtonsToRemove: ["lasso2d", "select2d", "zoomIn2d", "zoomOut2d"] };

function draw() {
  for (const [id, figure] of Object.entries(figures)) {
    const place = document.getElementById(id);
    if (place) Plotly.react(place, figure.data, themed(figure.layout), config);
  }
}

function setTheme(theme) {
  root.dataset.theme = theme;
  document.getElementById("theme").textContent = theme === "dark" ? "Light" : "Dark";
  draw();
}

document.getElementById("theme").onclick = () => setTheme(root.dataset.theme === "dark" ? "light" : "dark");

for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead th").forEach((head, column) => {
    head.tabIndex = 0;
    const sort = () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const body = table.tBodies[0];
      const rows = [...body.rows].sort((a, b) => {
        const x = key(a), y = key(b);
        const order = isNaN(x - y) ? String(x).localeCompare(String(y)) : x - y;
        return down ? -order : order;
      });
      body.append(...rows);
    };
    head.onclick = sort;
    head.onkeydown = (event) => { if (event.key === "Enter") sort(); };
  });
}

const choose = document.getElementById("choose-map");
if (choose) {
  const maps = JSON.parse(document.getElementById("maps").textContent);
  choose.onchange = () => { figures.map = maps[choose.value]; draw(); };
}

setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
