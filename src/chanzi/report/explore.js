// Draws the front of a search that is under way: live.js is read again every two seconds, as a script.
function chanziLive(data) {
  document.getElementById("line").textContent = data.line;
  const two = data.axes.length > 1 ? 1 : 0;
  const at = (k) => (p) => p[k];
  const others = (ok) => data.others.filter((p) => p[data.axes.length] === ok);
  const dots = (points, name, color) => ({
    type: "scattergl", mode: "markers", name, hoverinfo: "skip",
    x: points.map(at(0)), y: points.map(at(two)), marker: { size: 4, color },
  });
  const best = data.front.map((f) => f.values);
  const front = {
    type: "scatter", mode: "lines+markers", name: "front", x: best.map(at(0)), y: best.map(at(two)),
    text: data.front.map((f) => f.text), hovertemplate: "%{x:.4g}, %{y:.4g}<br>%{text}<extra></extra>",
    line: { shape: "hv", width: 1, color: "#4e79a7" }, marker: { size: 8, color: "#4e79a7" },
  };
  const axis = (k) => ({ title: { text: data.axes[k] }, type: "log", automargin: true });
  Plotly.react("front", [dots(others(0), "passes a limit", "#e0c3c3"), dots(others(1), "tried", "#b8c0cc"), front], {
    height: 520, margin: { l: 60, r: 20, t: 20, b: 50 }, xaxis: axis(0), yaxis: axis(two),
    legend: { orientation: "h", y: 1.06 },
  }, { displaylogo: false, responsive: true });
  const cell = (text, kind) => { const e = document.createElement(kind); e.textContent = text; return e; };
  const line = (cells, kind) => { const r = document.createElement("tr"); r.append(...cells.map((c) => cell(c, kind))); return r; };
  document.getElementById("heads").replaceChildren(line([...data.axes, "mm²", "W", "trial", "chip"], "th"));
  document.getElementById("rows").replaceChildren(...data.front.map((f) => line(
    [...f.values.map((v) => v.toPrecision(4)), f.area.toFixed(1), f.watts.toFixed(2), f.trial, f.text], "td")));
  if (data.over) clearInterval(again);
}
function read() {
  const old = document.getElementById("data"), script = document.createElement("script");
  script.id = "data"; script.src = "live.js?" + Date.now();
  if (old) old.remove();
  document.body.append(script);
}
const again = setInterval(read, 2000);
read();
