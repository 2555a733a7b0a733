// Makes widget.js of its parts, as the gateway serves it: `node build.mjs`, or `node build.mjs -` for the standard output.
import { readFileSync, writeFileSync } from "node:fs";

/** In the order in which src/http/widget.rs has them. */
const PARTS = ["words", "gateway", "roads", "sound", "conversation", "look", "captions", "widget", "page"];

export function script() {
  const parts = PARTS.map((name) => readFileSync(new URL(`src/${name}.js`, import.meta.url), "utf8"));
  return ["// Dauys: talk to an agent from any page. Apache-2.0.\n(() => {\n\"use strict\";\n\n", ...parts, "})();\n"].join("");
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  if (process.argv[2] === "-") process.stdout.write(script());
  else writeFileSync(new URL("widget.js", import.meta.url), script());
}
