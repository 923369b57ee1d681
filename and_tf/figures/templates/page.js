"use strict";
(async () => {
  const packed = Uint8Array.from(atob(document.getElementById("bokeh").textContent), c => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
  await Bokeh.embed.embed_item(JSON.parse(document.getElementById("map-item").textContent));
  const points = Bokeh.documents[0].get_model_by_name("points");
  const plot = Bokeh.documents[0].get_model_by_name("map");
  const mappers = points.tags;
  const choose = (name, act) => {
    for (const input of document.querySelectorAll(`input[name=${name}]`)) {
      input.addEventListener("change", () => act(input.value));
    }
  };
  choose("layout", number => {
    points.glyph.x = { field: `x${number}` };
    points.glyph.y = { field: `y${number}` };
    plot.reset.emit();
  });
  choose("grouping", number => {
    points.glyph.fill_color = { field: `g${number}`, transform: mappers[number] };
    for (const legend of document.querySelectorAll(".legend")) {
      legend.hidden = legend.dataset.grouping !== number;
    }
  });
  document.getElementById("embeddings").dataset.ready = "true";
})();
