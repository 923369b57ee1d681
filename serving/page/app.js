// The page: which model, which image, what the server says of it, and teaching.

import * as api from "./api.js";
import { drawClasses, drawMap, drawNeighbours, element, frame } from "./drawing.js";

const TAUGHT_ROWS_OF_A_PAGE = 12;

const byId = (id) => document.getElementById(id);
const modelChoice = byId("model");

let models = [];
let image = null; // { encoded, name }
let newest = 0; // Answers to older questions are not shown.
let listing = 0; // Pages of older lists are not added.

function say(text, wrong = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("wrong", wrong);
}

function fail(error) {
  if (error.status === 401) byId("sign-in").hidden = false;
  say(error.message, true);
}

const chosen = () => models.find((model) => model.name === modelChoice.value);

async function start() {
  models = await api.models();
  modelChoice.replaceChildren(
    ...models.map(({ name }) => element("option", { value: name, textContent: name })),
  );
  modelChoice.disabled = models.length === 0;
  byId("sign-in").hidden = true;
  if (models.length === 0) {
    say("No export of and_tf is being served.", true);
    return;
  }
  say("");
  await changeModel();
}

async function changeModel() {
  const model = chosen();
  for (const id of ["neighbours-panel", "classes-panel", "map-panel"]) byId(id).hidden = true;
  byId("teach-panel").hidden = !model.teachable;
  byId("labels").replaceChildren(
    ...model.class_names.map((value) => element("option", { value })),
  );
  if (model.teachable) await showTaught();
  if (image) await ask();
}

async function take(file) {
  try {
    const url = await new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.addEventListener("load", () => resolve(reader.result));
      reader.addEventListener("error", () => reject(new Error("The file cannot be read.")));
      reader.readAsDataURL(file);
    });
    image = { encoded: url.slice(url.indexOf(",") + 1), name: file.name };
    byId("preview").src = url;
    byId("preview").alt = file.name;
    byId("preview").hidden = false;
    byId("teach").hidden = false;
    byId("invitation").textContent = file.name;
    if (chosen()) await ask();
  } catch (error) {
    fail(error);
  }
}

// Asks everything about the image, and shows what there is.
async function ask() {
  const model = chosen();
  const question = ++newest;
  const has = (signature) => model.signatures.includes(signature);
  const answerOf = (signature, single) =>
    has(signature) ? api.ask(model.name, signature, image.encoded, single) : null;
  say("Asking…");
  const [neighbours, classes, embedded, map] = await Promise.all([
    answerOf("neighbours_bytes"),
    answerOf("classify_bytes"),
    answerOf("embed_bytes", "embedding"),
    api.rowsMap(model.name),
  ]);
  if (question !== newest) return;
  byId("neighbours-panel").hidden = !neighbours;
  byId("classes-panel").hidden = !classes;
  byId("map-panel").hidden = !map;
  if (neighbours) {
    drawNeighbours(byId("neighbours"), neighbours, (row) => api.picture(model.name, row));
  }
  if (classes) drawClasses(byId("classes"), classes);
  if (map) {
    const likely = classes?.classes ?? [];
    drawMap(byId("map"), byId("legend"), byId("map-caption"), map, embedded.embedding, likely);
  }
  say(classes ? `Most likely: ${classes.classes[0]}` : "Done.");
}

// Lists the taught rows, of the label asked for or all, from the first page on.
async function showTaught() {
  const list = ++listing;
  const model = chosen().name;
  const label = byId("taught-label").value.trim();

  async function showPage(after) {
    const page = await api.taughtRows(model, TAUGHT_ROWS_OF_A_PAGE, label, after);
    if (list !== listing) return;
    if (after === undefined) byId("taught").replaceChildren();
    byId("taught").append(...page.rows.map((row) => taughtCard(model, row)));
    const shown = byId("taught").childElementCount;
    byId("taught-count").textContent = `Rows taught so far: ${page.total}; ${shown} are shown.`;
    byId("more").hidden = page.next_after === undefined;
    byId("more").onclick = () => showPage(page.next_after).catch(fail);
  }

  await showPage();
}

function taughtCard(model, row) {
  const button = element("button", { type: "button", textContent: "Forget" });
  button.setAttribute("aria-label", `Forget ${row.label}, ${row.source}`);
  button.addEventListener("click", () => change(() => api.forget(model, row.id), "Forgotten."));
  return element(
    "li",
    { className: "card", title: row.source },
    frame(api.picture(model, row.id), `${row.label}, ${row.source}`),
    element("p", { textContent: row.label }),
    button,
  );
}

// Teaches or forgets, then shows what has become of the answers.
async function change(action, done) {
  try {
    await action();
    await showTaught();
    if (image) await ask();
    say(done);
  } catch (error) {
    fail(error);
  }
}

byId("file").addEventListener("change", (event) => {
  if (event.target.files[0]) take(event.target.files[0]);
});

byId("drop").addEventListener("dragover", (event) => {
  event.preventDefault();
  byId("drop").classList.add("over");
});
byId("drop").addEventListener("dragleave", () => byId("drop").classList.remove("over"));
byId("drop").addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
});

byId("taught-label").addEventListener("change", () => showTaught().catch(fail));

modelChoice.addEventListener("change", () => changeModel().catch(fail));

byId("teach").addEventListener("submit", (event) => {
  event.preventDefault();
  const label = byId("label").value.trim();
  change(() => api.teach(chosen().name, image.encoded, label, image.name.slice(0, 200)), `Taught: ${label}.`);
});

byId("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  api.useToken(byId("token").value);
  start().catch(fail);
});

start().catch(fail);
