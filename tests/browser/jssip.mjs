// A browser that calls by SIP over WebSocket: JsSIP on a page, with the browser's own WebRTC beneath. It is let in, agrees by a
// key (RFC 4733, as RTCDTMFSender sends it), asks, and keeps what it heard. Prints one line a step.
//
// Usage: node jssip.mjs WS_URL SIP_URI OUT.wav QUESTION.wav PAGE_PORT
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";

import { closePage, launch, newPage, require, until, writeWav } from "./harness.mjs";

const [wsUrl, target, out, question, pagePort] = process.argv.slice(2);
const started = Date.now();
const step = (...words) => console.log(((Date.now() - started) / 1000).toFixed(1), ...words);
/** Loopback is taken for safe, so that the page gets a microphone; and a page from there may open a WebSocket to there. */
const PAGE = `http://127.0.0.1:${pagePort}/`;
const site = createServer((_, response) => {
  response.setHeader("content-type", "text/html");
  response.end("<!doctype html><title>phone</title>");
});
await new Promise((done) => site.listen(Number(pagePort), "127.0.0.1", done));

/** JsSIP and what it requires as one script: its package has modules only. `window.JsSIP` is what comes of it. */
function bundled(entry) {
  const places = new Map();
  const modules = [];
  const add = (file) => {
    if (places.has(file)) return places.get(file);
    const place = places.size;
    places.set(file, place);
    const from = createRequire(file);
    const resolve = (name) => {
      if (name === "events") return from.resolve("events/");
      const path = from.resolve(name);
      return name === "debug" ? path.replace(/index\.js$/, "browser.js") : path;
    };
    const text = readFileSync(file, "utf8");
    const names = file.endsWith(".json") ? [] : [...text.matchAll(/\brequire\(["']([^"']+)["']\)/g)].map((m) => m[1]);
    const wanted = Object.fromEntries(names.map((name) => [name, add(resolve(name))]));
    const body = file.endsWith(".json") ? `module.exports = ${text}` : text;
    modules[place] = `[${JSON.stringify(wanted)}, function (require, module, exports) {\n${body}\n}]`;
    return place;
  };
  const first = add(entry);
  return `(() => { const modules = [${modules.join(",\n")}]; const made = [];
    const load = (n) => {
      if (!made[n]) {
        const module = (made[n] = { exports: {} });
        modules[n][1]((name) => load(modules[n][0][name]), module, module.exports);
      }
      return made[n].exports;
    };
    window.process = { env: {} };
    window.JsSIP = load(${first}); })();`;
}

/** In the page: places the call; `window.call` tells how it goes. */
async function place([wsUrl, target]) {
  const { JsSIP } = window;
  const agent = new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(wsUrl)],
    uri: "sip:page@example.invalid",
    register: false,
    session_timers: true,
  });
  const call = (window.call = { state: "calling" });
  const mediaStream = await navigator.mediaDevices.getUserMedia({ audio: true });
  await new Promise((done) => {
    agent.on("connected", done);
    agent.start();
  });
  call.session = agent.call(target, { mediaStream, pcConfig: { iceServers: [] } });
  // What nobody plays is not decoded.
  call.session.connection.addEventListener("track", ({ track }) => {
    call.speaker = new Audio();
    call.speaker.srcObject = new MediaStream([track]);
    call.speaker.play();
  });
  call.session.on("confirmed", () => (call.state = "answered"));
  call.session.on("ended", ({ cause }) => (call.state = `ended ${cause}`));
  call.session.on("failed", ({ cause }) => (call.state = `failed ${cause}`));
}

/** In the page: what the browser says of its connection. */
async function transport() {
  const stats = [...(await window.call.session.connection.getStats()).values()];
  const { dtlsState, srtpCipher } = stats.find((s) => s.type === "transport") ?? {};
  const inbound = stats.find((s) => s.type === "inbound-rtp");
  const codec = stats.find((s) => s.id === inbound?.codecId)?.mimeType;
  return { dtlsState, srtpCipher, codec, packets: inbound?.packetsReceived ?? 0, energy: inbound?.totalAudioEnergy ?? 0 };
}

const browser = await launch();
const page = await newPage(browser);
const state = () => page.evaluate(() => window.call.state);
/** Until the agent has spoken and then been silent for two seconds. */
async function heardOut(what) {
  const begun = (await page.evaluate(transport)).energy;
  await until(`${what} to begin`, async () => (await page.evaluate(transport)).energy > begun + 0.001);
  let [last, since] = [0, Date.now()];
  await until(`${what} to end`, async () => {
    const { energy } = await page.evaluate(transport);
    if (energy > last + 1e-4) [last, since] = [energy, Date.now()];
    return Date.now() - since > 2000;
  }, 60_000);
  step("heard", what);
}

try {
  await page.goto(PAGE);
  await page.addScriptTag({ content: bundled(require.resolve("jssip")) });
  await page.evaluate(place, [wsUrl, target]);
  await until("an answer", async () => {
    assert.ok(!(await state()).startsWith("failed"), await state());
    return (await state()) === "answered";
  });
  step("answered");
  await until("a handshake", async () => (await page.evaluate(transport)).dtlsState === "connected");
  await heardOut("the question");
  const { srtpCipher, codec } = await page.evaluate(transport);
  step("transport", srtpCipher, codec);
  await page.evaluate(() => window.call.session.sendDTMF("1", { transportType: "RFC2833", duration: 200 }));
  await heardOut("what follows the key");
  // The recording begins with the first track.
  const from = await page.evaluate(() => performance.now());
  await page.evaluate((sound) => window.dauysTest.say(sound), readFileSync(question).toString("base64"));
  step("asked");
  await heardOut("the answer");
  const took = ((await page.evaluate(() => performance.now())) - from) / 1000;
  const whole = await page.evaluate(() => window.dauysTest.recording());
  // 48 kHz of two bytes, in base64.
  const tail = Math.ceil(took * 48_000 * 2);
  writeWav(out, Buffer.from(whole, "base64").subarray(-tail - (tail % 2)).toString("base64"));
  await page.evaluate(() => window.call.session.terminate());
  await until("the end", async () => (await state()).startsWith("ended"));
  step(await state());
  await closePage(page);
} catch (error) {
  console.error(`${error.stack}\n--- state: ${await state().catch(() => "none")}\n${page.errors.join("\n")}`);
  process.exitCode = 1;
} finally {
  await browser.close();
  site.close();
}
