// The reading of the curves under the pointer; everything else is drawn without a script.
for (const script of document.querySelectorAll(".chart script")) {
  const chart = script.parentElement, data = JSON.parse(script.textContent);
  const svg = chart.querySelector("svg"), cursor = svg.querySelector(".cursor"), out = chart.querySelector("output");
  const [left, right, start, end] = data.x;
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    const time = start + ((x - left) / (right - left)) * (end - start);
    let near = 0;
    for (let i = 1; i < data.t.length; i++) if (Math.abs(data.t[i] - time) < Math.abs(data.t[near] - time)) near = i;
    const at = left + ((data.t[near] - start) / (end - start)) * (right - left);
    cursor.setAttribute("x1", at);
    cursor.setAttribute("x2", at);
    const known = data.curves.filter((curve) => curve[1][near] !== null);
    out.textContent = `${data.t[near].toFixed(2)} s  ` + known.map((c) => `${c[0]} ${c[1][near]}${data.unit}`).join("  ");
  });
  svg.addEventListener("pointerleave", () => {
    out.textContent = "";
    cursor.setAttribute("x1", -9);
    cursor.setAttribute("x2", -9);
  });
}
