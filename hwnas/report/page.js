"use strict";
// Shows what a point is on hover and tap, hides what a legend names, sorts tables, stacks those that are too wide, saves
// charts as files, and moves links by sliders.
(() => {
  const touch = matchMedia("(pointer: coarse)");

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

  const SVG = "http://www.w3.org/2000/svg";

  const follow = (box) => {
    const { words, points } = JSON.parse(box.querySelector("script").textContent);
    const canvas = box.querySelector(".canvas");
    const chart = box.querySelector(".chart");
    const tip = box.querySelector(".tip");
    const ring = document.createElementNS(SVG, "circle");
    ring.setAttribute("class", "ring");
    ring.setAttribute("r", "9");
    chart.append(ring);

    // The nearest point, in pixels of the canvas. Those that come later lie on top and win.
    const nearest = (event, reach) => {
      const area = chart.getBoundingClientRect();
      const corner = canvas.getBoundingClientRect();
      let found = null;
      for (const point of points) {
        const [x, y] = [area.width * point[0] / 100, area.height * point[1] / 100];
        const distance = Math.hypot(area.left + x - event.clientX, area.top + y - event.clientY);
        if (distance > reach) continue;
        reach = distance;
        found = { point, at: { x: area.left - corner.left + x, y: area.top - corner.top + y } };
      }
      return found;
    };
    const tell = (found) => {
      box.classList.toggle("told", Boolean(found));
      tip.hidden = true;
      if (!found) return;
      const [x, y, head, rows, lines] = found.point;
      fill(tip, [words[head], rows.map((row) => row.map((word) => words[word])), lines.map((line) => words[line])]);
      place(tip, canvas, found.at);
      ring.setAttribute("cx", `${x}%`);
      ring.setAttribute("cy", `${y}%`);
    };
    canvas.addEventListener("pointermove", (event) => { if (event.pointerType !== "touch") tell(nearest(event, 18)); });
    canvas.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") tell(null); });
    canvas.addEventListener("click", (event) => { if (touch.matches) tell(nearest(event, 26)); });
    box.hide = () => tell(null);
  };

  // A click on an entry of a legend hides what it names, or shows it again.
  const toggles = (legend) => {
    const layers = [...legend.parentElement.querySelectorAll(".layer")];
    for (const entry of legend.querySelectorAll("button")) {
      const names = JSON.parse(entry.dataset.layers);
      const named = layers.filter((layer) => names.includes(layer.dataset.name));
      entry.addEventListener("click", () => {
        const shown = entry.getAttribute("aria-pressed") !== "true";
        entry.setAttribute("aria-pressed", String(shown));
        for (const layer of named) layer.classList.toggle("hidden", !shown);
      });
    }
  };

  const save = (name, url) => {
    const link = node("a");
    link.download = name;
    link.href = url;
    link.click();
  };

  // The chart as a file by itself: the page's colours and its rules for charts go with it.
  const standing = (canvas) => {
    const [chart, look] = [canvas.querySelector(".chart"), getComputedStyle(document.documentElement)];
    const room = getComputedStyle(canvas);
    const copy = chart.cloneNode(true);
    copy.querySelector(".ring")?.remove();
    const { width, height } = chart.getBoundingClientRect();
    const place = { x: parseFloat(room.paddingLeft) + 8, y: parseFloat(room.paddingTop) + 8, width, height };
    for (const [name, value] of Object.entries(place)) copy.setAttribute(name, value);
    const rules = [...document.styleSheets[0].cssRules].map((rule) => rule.cssText).filter((text) => text.startsWith(".chart "));
    const tier = getComputedStyle(canvas).getPropertyValue("--tier");
    const whole = document.createElementNS(SVG, "svg");
    const [w, h] = [canvas.offsetWidth + 16, canvas.offsetHeight + 16];
    for (const [name, value] of [["width", w], ["height", h], ["viewBox", `0 0 ${w} ${h}`]]) whole.setAttribute(name, value);
    const style = document.createElementNS(SVG, "style");
    style.textContent = `text { font-family: system-ui, sans-serif; } ${rules.join(" ")}`;
    const card = document.createElementNS(SVG, "rect");
    for (const [name, value] of [["width", "100%"], ["height", "100%"], ["fill", "var(--card)"]]) card.setAttribute(name, value);
    whole.append(style, document.querySelector(".defs defs").cloneNode(true), card, copy);
    const color = (_, name) => (name === "--tier" ? tier : look.getPropertyValue(name)).trim();
    return { w, h, text: new XMLSerializer().serializeToString(whole).replace(/var\((--[\w-]+)\)/g, color) };
  };

  const asData = ({ text }) => `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;

  const savePng = (drawing, name) => {
    const picture = new Image();
    picture.onload = () => {
      const canvas = node("canvas");
      [canvas.width, canvas.height] = [2 * drawing.w, 2 * drawing.h];
      canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
      save(name, canvas.toDataURL("image/png"));
    };
    picture.src = asData(drawing);
  };

  const offer = (box) => {
    const canvas = box.querySelector(".canvas");
    const words = canvas.getAttribute("aria-label").replace(/[.:].*/s, "");
    const stem = words.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 80);
    const line = node("p", undefined, "save");
    for (const [kind, write] of [["SVG", (d) => save(`${stem}.svg`, asData(d))], ["PNG", (d) => savePng(d, `${stem}.png`)]]) {
      const button = node("button", kind);
      button.type = "button";
      button.setAttribute("aria-label", `${words} as ${kind}`);
      button.addEventListener("click", () => write(standing(canvas)));
      line.append(button);
    }
    box.after(line);
  };

  // A table that is wider than its card becomes a block for each row.
  const stack = (scroll) => {
    scroll.classList.remove("stacked");
    scroll.classList.toggle("stacked", scroll.scrollWidth > scroll.clientWidth + 1);
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

  // Sliders of a link: the winner, and each plan's quantiles and steps, are looked up at both positions.
  const relink = (card) => {
    const { texts, planned, titles, winners, quantiles, steps } = JSON.parse(card.querySelector("script").textContent);
    const controls = [...card.querySelectorAll("input")];
    const rows = [...card.querySelectorAll(".bars li")];
    const draw = () => {
      const [i, j] = controls.map((control) => Number(control.value));
      controls.forEach((control, axis) => {
        const text = texts[axis][control.value] + (Number(control.value) === planned[axis] ? ", as planned" : "");
        control.previousElementSibling.textContent = text;
        control.setAttribute("aria-valuetext", text);
      });
      const winner = winners[i][j];
      card.querySelector(".winner b").textContent = titles[winner] ?? "no plan";
      const times = steps.map((plan) => plan.map((step) => step[i][j]));
      const longest = Math.max(...times.map((own) => own.reduce((sum, one) => sum + one, 0)));
      rows.forEach((row, plan) => {
        row.classList.toggle("won", plan === winner);
        row.querySelector(".quantiles").textContent = quantiles[plan][i][j];
        row.querySelectorAll("i").forEach((part, step) => {
          part.style.width = `${longest ? (100 * times[plan][step]) / longest : 0}%`;
        });
      });
    };
    for (const control of controls) control.addEventListener("input", draw);
    card.querySelector(".sliders").hidden = false;
    draw();
  };

  const plots = [...document.querySelectorAll(".plot")];
  plots.forEach(follow);
  document.querySelectorAll(".links").forEach(relink);
  plots.forEach(offer);
  document.querySelectorAll(".legend").forEach(toggles);
  const stackAll = () => document.querySelectorAll(".scroll").forEach(stack);
  stackAll();
  addEventListener("resize", stackAll);
  document.addEventListener("toggle", (event) => { if (event.target.matches(".card")) stackAll(); }, true);
  document.querySelectorAll("table.sortable").forEach((table) => {
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      header.querySelector("button")?.addEventListener("click", () => sort(table, column, header));
    });
  });
  const hide = () => plots.forEach((box) => box.hide());
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  document.addEventListener("pointerdown", (event) => { if (!event.target.closest(".plot")) hide(); });
})();
