"use strict";
// Draws the plots, fills the palette in, shows what a point is on hover and tap, and sorts tables. No network.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)");

  const painted = (value, style) => {
    if (typeof value === "string") return value.startsWith("--") ? style.getPropertyValue(value).trim() : value;
    if (Array.isArray(value)) return value.map((item) => painted(item, style));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, painted(item, style)]));
  };

  const node = (name, text, className) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };

  const fill = (tip, [head, rows, lines]) => {
    const list = node("dl");
    for (const [label, value, origin] of rows) {
      const shown = node("dd", value + (origin ? " " : ""));
      if (origin) shown.append(node("span", origin, `origin ${origin}`));
      list.append(node("dt", label), shown);
    }
    tip.replaceChildren(node("strong", head), list);
    if (lines.length) tip.append(node("pre", lines.join("\n")));
  };

  // Beside the point where there is room, else above or below it; within the window either way.
  const place = (tip, canvas, { x, y }) => {
    tip.hidden = false;
    const [width, height, gap] = [tip.offsetWidth, tip.offsetHeight, 16];
    const top = canvas.getBoundingClientRect().top;
    const within = (value, least, most) => Math.max(least, Math.min(value, most));
    let left = x + gap;
    let up = within(y - height / 2, 8 - top, innerHeight - top - height - 8);
    if (left + width > canvas.offsetWidth) left = x - gap - width;
    if (left < 0) {
      left = within(x - width / 2, 0, canvas.offsetWidth - width);
      up = top + y - height - gap > 0 ? y - height - gap : y + gap;
    }
    tip.style.left = `${left}px`;
    tip.style.top = `${canvas.offsetTop + up}px`;
  };

  // Where a point lies on the canvas, in pixels.
  const spot = (canvas, x, y) => {
    const { xaxis, yaxis } = canvas._fullLayout;
    return { x: xaxis._offset + xaxis.d2p(x), y: yaxis._offset + yaxis.d2p(y) };
  };

  // The point under a finger. Later traces lie on top and win.
  const nearest = (canvas, figure, finger) => {
    let found = null;
    let least = 26;
    figure.data.forEach((trace, curve) => (figure.tips[curve] || []).forEach((tip, index) => {
      const at = spot(canvas, trace.x[index], trace.y[index]);
      const distance = Math.hypot(at.x - finger.x, at.y - finger.y);
      if (distance > least) return;
      least = distance;
      found = { tip, at };
    }));
    return found;
  };

  const draw = (box) => {
    const figure = JSON.parse(box.querySelector("script").textContent);
    const canvas = box.querySelector(".canvas");
    const tip = box.querySelector(".tip");
    const show = () => {
      const { data, layout } = painted({ data: figure.data, layout: figure.layout }, getComputedStyle(box));
      layout.dragmode = touch.matches ? false : "zoom";
      box.classList.toggle("touch", touch.matches);  // there, the plot leaves all gestures to the page
      return Plotly.react(canvas, data, layout, { responsive: true, displayModeBar: false, doubleClick: "reset" });
    };
    const tell = (known, at) => {
      tip.hidden = true;
      if (!known) return;
      fill(tip, known);
      place(tip, canvas, at);
    };
    show().then(() => {
      canvas.on("plotly_hover", ({ points: [point] }) => {
        tell((figure.tips[point.curveNumber] || [])[point.pointNumber], spot(canvas, point.x, point.y));
      });
      canvas.on("plotly_unhover", () => tell(null));
      canvas.on("plotly_relayout", () => tell(null));
      canvas.addEventListener("click", (event) => {
        if (!touch.matches) return;
        const corner = canvas.getBoundingClientRect();
        const found = nearest(canvas, figure, { x: event.clientX - corner.left, y: event.clientY - corner.top });
        tell(found && found.tip, found && found.at);
      });
      box.dataset.drawn = "yes";
    });
    for (const query of [dark, touch]) query.addEventListener("change", show);
  };

  const sort = (table, column, header) => {
    const up = header.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (row) => row.cells[column].dataset.sort ?? "";
    const compare = (a, b) => {
      if (a === "" || b === "") return (a === "") - (b === "");  // gaps stay last
      const order = Number.isNaN(Number(a) + Number(b)) ? a.localeCompare(b) : a - b;
      return up ? order : -order;
    };
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort((a, b) => compare(value(a), value(b))));
  };

  document.querySelectorAll(".plot").forEach(draw);
  document.querySelectorAll("table.sortable").forEach((table) => {
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      header.querySelector("button")?.addEventListener("click", () => sort(table, column, header));
    });
  });
  const hide = () => document.querySelectorAll(".tip").forEach((tip) => { tip.hidden = true; });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  document.addEventListener("pointerdown", (event) => { if (!event.target.closest(".plot")) hide(); });
})();
