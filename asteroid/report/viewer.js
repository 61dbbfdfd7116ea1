// Shows structures with 3Dmol.js, and opens those of the points in the plots. Without WebGL, only the words appear.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("structures-data").textContent);
  const box = document.getElementById("viewer"), words = document.getElementById("shown");
  const play = document.getElementById("play"), points = document.querySelectorAll("[data-show]");
  let viewer = null, moving = false;
  document.getElementById("stage").classList.add("scripted");
  try {
    viewer = $3Dmol.createViewer(box, { backgroundAlpha: 0, antialias: true });
    if (!viewer) throw new Error("no WebGL");
    // The wheel scrolls the page; with Ctrl or a pinch it zooms.
    box.addEventListener("wheel", (event) => event.ctrlKey || event.stopPropagation(), true);
    box.addEventListener("keydown", (event) => {
      const turn = { ArrowLeft: [-10, "y"], ArrowRight: [10, "y"], ArrowUp: [-10, "x"], ArrowDown: [10, "x"] }[event.key];
      const zoom = { "+": 1.2, "-": 1 / 1.2 }[event.key];
      if (!turn && !zoom) return;
      event.preventDefault();
      turn ? viewer.rotate(...turn) : viewer.zoom(zoom);
    });
  } catch {
    box.textContent = "This browser shows no 3D graphics (WebGL).";
    box.removeAttribute("role");
    box.removeAttribute("aria-label");
    box.removeAttribute("tabindex");
  }

  const vector = (flat, atom, from = [0, 0, 0]) => [0, 1, 2].map((axis) => from[axis] + flat[3 * atom + axis] / 1000);
  const xyz = (flat) =>
    `${data.symbols.length}\n\n` + data.symbols.map((symbol, atom) => [symbol, ...vector(flat, atom)].join(" ")).join("\n");
  const point = ([x, y, z]) => ({ x, y, z });

  function draw(scene, again) {
    viewer.stopAnimate();
    viewer.removeAllModels();
    viewer.removeAllShapes();
    viewer.addModelsAsFrames(scene.frames.map(xyz).join("\n"), "xyz");
    viewer.setStyle({}, { stick: { radius: 0.1 }, sphere: { scale: 0.2 } });
    for (let atom = 0; scene.arrows && atom < data.symbols.length; atom++) {
      const start = vector(scene.frames[0], atom), end = vector(scene.arrows, atom, start);
      if (Math.hypot(...end.map((value, axis) => value - start[axis])) > 0.02)
        viewer.addArrow({ start: point(start), end: point(end), radius: 0.06, radiusRatio: 2, mid: 0.7, color: "#d55e00" });
    }
    if (!again) {
      viewer.zoomTo();
      viewer.zoom(1.4);
    }
    viewer.render();
  }

  function run(on) {
    moving = on;
    play.textContent = on ? "Pause" : "Play";
    on ? viewer.animate({ loop: "forward", interval: 60 }) : viewer.pauseAnimate();
  }

  let before = false;
  function show(key) {
    const scene = data.scenes[key];
    if (!scene) return;
    words.textContent = `${scene.title}: ${scene.words}.`;
    for (const other of points) {
      const same = other.dataset.show === key;
      other.classList.toggle("shown", same);
      other.setAttribute("aria-pressed", same);
    }
    if (!viewer) return;
    draw(scene, before);
    before = true;
    const several = scene.frames.length > 1;
    play.hidden = !several;
    if (several) run(!matchMedia("(prefers-reduced-motion: reduce)").matches);
  }

  play.addEventListener("click", () => run(!moving));
  for (const one of points)
    one.addEventListener("click", () => {
      show(one.dataset.show);
      box.scrollIntoView({ block: "nearest" });
    });

  // One stop of the Tab key for a plot; the arrow keys go from frame to frame, the worst first.
  for (const plot of document.querySelectorAll("svg.parity")) {
    const own = [...plot.querySelectorAll("[data-show]")].reverse();
    if (!own.length) continue;
    plot.setAttribute("role", "group");
    own.forEach((path, index) => {
      const scene = data.scenes[path.dataset.show];
      path.setAttribute("role", "button");
      path.setAttribute("tabindex", index ? -1 : 0);
      path.setAttribute("aria-label", `${scene.title}: ${scene.words}`);
    });
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const at = own.indexOf(event.target);
      if (at < 0) return;
      if (event.key === "Enter" || event.key === " ") event.target.dispatchEvent(new MouseEvent("click"));
      else if (step) {
        const next = own[(at + step + own.length) % own.length];
        event.target.setAttribute("tabindex", -1);
        next.setAttribute("tabindex", 0);
        next.focus();
      } else return;
      event.preventDefault();
    });
  }
  show(Object.keys(data.scenes)[0]);
})();
