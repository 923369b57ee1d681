// Answers drawn: cards of rows, bars of classes, the map. Text goes in as text, never as markup.

// The first seven are those of Okabe and Ito, "Color Universal Design", for any colour vision.
const COLOURS = [
  "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#c9b800",
  "#7a5cd6", "#8a5a2b", "#e0245e",
];
const OTHERS = "#9aa3af";
const SVG = "http://www.w3.org/2000/svg";

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// A frame for a row's picture, filled once it is there.
export function frame(loading, text) {
  const made = element("div", { className: "picture", textContent: "…" });
  loading
    .then((url) => {
      if (!url) {
        made.textContent = "no picture";
        return;
      }
      const image = element("img", { alt: text });
      image.addEventListener("load", () => {
        image.classList.toggle("small", image.naturalWidth <= 64);
        if (url.startsWith("blob:")) URL.revokeObjectURL(url);
      });
      image.src = url;
      made.replaceChildren(image);
    })
    .catch(() => {
      made.textContent = "no picture";
    });
  return made;
}

export function drawNeighbours(list, answer, pictureOf) {
  const cards = answer.ids.map((id, place) => {
    const label = answer.labels[place] || "no label";
    const source = answer.sources[place];
    const about = `${source} (${id < 0 ? "taught" : `row ${id}`})`;
    return element(
      "li",
      { className: id < 0 ? "card is-taught" : "card", title: about },
      frame(pictureOf(id), `${label}, ${about}`),
      element("p", { textContent: label }),
      element("p", { className: "hint", textContent: answer.similarities[place].toFixed(3) }),
      element("p", { className: "hint", textContent: id < 0 ? `taught: ${source}` : source }),
    );
  });
  list.replaceChildren(...cards);
}

export function drawClasses(list, answer) {
  const lines = answer.classes.map((name, place) => {
    const share = 100 * answer.scores[place];
    const bar = element("div", { className: "bar", ariaHidden: "true" });
    bar.style.width = `${share}%`;
    return element(
      "li",
      {},
      bar,
      element("span", { textContent: name }),
      element("span", { textContent: `${share.toFixed(1)} %` }),
    );
  });
  list.replaceChildren(...lines);
}

export function drawMap(svg, legend, caption, map, embedding, likely) {
  const here = map.components.map((component) =>
    component.reduce((sum, weight, axis) => sum + weight * (embedding[axis] - map.mean[axis]), 0),
  );
  const place = placing([...map.points, here]);
  const counts = new Map();
  for (const label of map.labels) if (label >= 0) counts.set(label, (counts.get(label) ?? 0) + 1);
  // The image's likely classes and the most frequent ones get a colour of their own.
  const urgency = (label) =>
    likely.includes(map.class_names[label]) ? Number.MAX_SAFE_INTEGER : counts.get(label);
  const ranked = [...counts.keys()].sort((a, b) => urgency(b) - urgency(a) || a - b);
  const shown = ranked.slice(0, COLOURS.length).sort((a, b) => a - b);
  const colour = (label) => COLOURS[shown.indexOf(label)] ?? OTHERS;
  const dots = map.points.map((point, index) => {
    const [cx, cy] = place(point);
    return shape("circle", { cx, cy, r: 2.5, fill: colour(map.labels[index]), "fill-opacity": 0.7 });
  });
  const [x, y] = place(here);
  const cross = `M${x - 9} ${y}H${x + 9}M${x} ${y - 9}V${y + 9}`;
  svg.replaceChildren(
    ...dots,
    shape("path", { d: cross, class: "halo" }),
    shape("path", { d: cross, class: "here", id: "here" }),
  );
  const entries = shown.map((label) => [colour(label), map.class_names[label]]);
  if (map.labels.some((label) => !shown.includes(label))) {
    entries.push([OTHERS, shown.length ? "others" : "rows"]);
  }
  legend.replaceChildren(
    ...entries.map(([fill, name]) => {
      const sign = shape("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" });
      sign.append(shape("circle", { cx: 5, cy: 5, r: 5, fill }));
      return element("li", {}, sign, name);
    }),
  );
  const share = Math.round(100 * (map.explained[0] + map.explained[1]));
  caption.textContent =
    `The cross is this image, each dot one of ${map.points.length} stored rows, on the two ` +
    `principal axes of the rows, which hold ${share} % of their variance.`;
}

// From the plane to the drawing, 400 x 300 with a margin, at one scale for both axes.
function placing(points) {
  const low = [0, 1].map((axis) => Math.min(...points.map((point) => point[axis])));
  const high = [0, 1].map((axis) => Math.max(...points.map((point) => point[axis])));
  const scale = Math.min(370 / (high[0] - low[0] || 1), 270 / (high[1] - low[1] || 1));
  return ([x, y]) => [
    200 + scale * (x - (low[0] + high[0]) / 2),
    150 - scale * (y - (low[1] + high[1]) / 2),
  ];
}
