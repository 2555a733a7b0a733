// The demo page's choices: puts what its form asked for on the widget's tag before that runs. It talks to nobody.
"use strict";

const wanted = new URLSearchParams(location.search);
const tag = document.querySelector("script[data-agent]");
for (const name of ["agent", "language", "theme", "side"]) {
  const value = wanted.get(name)?.trim();
  if (value) tag.dataset[name] = value;
}
if (wanted.has("open")) tag.dataset.open = "";
document.documentElement.dataset.colour = wanted.get("colour") ?? "";
document.documentElement.dataset.theme = wanted.get("theme") ?? "";

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("origin").textContent = new URL(".", location.href).href.replace(/\/$/, "");
  for (const field of document.querySelectorAll(".try [name]")) field.value = wanted.get(field.name) ?? "";
});
