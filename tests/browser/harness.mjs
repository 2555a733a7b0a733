// What the browser's tests share: Chromium with a microphone that plays what a test hands it, axe, and a recorder of what the
// page hears. It knows no server.
//
// BROWSER_MODULES: the folder with node_modules; CHROMIUM: another browser's path; SHOTS: where screenshots go, if anywhere.
import { createRequire } from "node:module";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import assert from "node:assert/strict";

export const require = createRequire(`${process.env.BROWSER_MODULES}/package.json`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

/** Longest wait for anything: engines may be loading beside. */
export const PATIENCE_MS = Number(process.env.PATIENCE_MS ?? 15_000);

export async function launch(more = []) {
  const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
  const quiet = ["--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"];
  const media = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"];
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  return chromium.launch({ executablePath, args: [...flags, ...quiet, ...media, ...more] });
}

/** Runs in every page before its own scripts: `dauysTest` hands it sound, and keeps what it hears. */
function inPage() {
  const test = (window.dauysTest = { refuse: null, devices: ["one"], opened: 0, tracks: [], heard: [], peers: [], violations: [] });
  document.addEventListener("securitypolicyviolation", (e) => test.violations.push(`${e.violatedDirective} ${e.blockedURI}`));
  const media = navigator.mediaDevices;
  if (!media) return;
  media.getUserMedia = async () => {
    if (test.refuse) throw new DOMException("refused by the test", test.refuse);
    test.context ??= new AudioContext({ sampleRate: 48_000 });
    test.mouth = test.context.createMediaStreamDestination();
    // A little noise, as a room has it.
    const noise = test.context.createBuffer(1, 48_000, 48_000);
    noise.getChannelData(0).forEach((_, at, samples) => (samples[at] = (Math.random() - 0.5) * 2e-4));
    const room = new AudioBufferSourceNode(test.context, { buffer: noise, loop: true });
    room.connect(test.mouth);
    room.start();
    test.opened += 1;
    const [track] = test.mouth.stream.getAudioTracks();
    const device = test.devices[0];
    track.getSettings = () => ({ deviceId: "default", groupId: device });
    test.tracks.push(track);
    return test.mouth.stream;
  };
  media.enumerateDevices = async () => [
    { kind: "audioinput", deviceId: "default", groupId: test.devices[0], label: `Default: ${test.devices[0]}` },
    ...test.devices.map((name) => ({ kind: "audioinput", deviceId: name, groupId: name, label: name })),
  ];
  /** Speaks a recording into the microphone that is open now; done when it is over. */
  test.say = async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const buffer = await test.context.decodeAudioData(bytes.buffer);
    const source = new AudioBufferSourceNode(test.context, { buffer });
    source.connect(test.mouth);
    source.start();
    await new Promise((done) => source.addEventListener("ended", done));
  };
  const Real = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Real {
    constructor(...config) {
      super(...config);
      test.peers.push(this);
      this.addEventListener("track", ({ track }) => {
        const recorder = new MediaRecorder(new MediaStream([track]));
        const heard = { recorder, chunks: [] };
        recorder.ondataavailable = ({ data }) => heard.chunks.push(data);
        recorder.start(500);
        test.heard.push(heard);
      });
    }
  };
  /** What the newest call has heard, as 16-bit samples at 48 kHz in base64. */
  test.recording = async (from = 0) => {
    const { recorder, chunks } = test.heard.at(-1);
    if (recorder.state === "recording") {
      const flushed = new Promise((done) => recorder.addEventListener("dataavailable", done, { once: true }));
      recorder.requestData();
      await flushed;
    }
    const decoder = new OfflineAudioContext(1, 1, 48_000);
    const sound = await decoder.decodeAudioData(await new Blob(chunks).arrayBuffer());
    const samples = sound.getChannelData(0).subarray(Math.round(from * 48_000));
    const bytes = new Uint8Array(Int16Array.from(samples, (s) => Math.max(-1, Math.min(1, s)) * 32_767).buffer);
    let text = "";
    for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
    return btoa(text);
  };
}

/** A page with the test's microphone; console errors are kept. */
export async function newPage(browser, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    locale: "en-US",
    permissions: ["microphone"],
    ...options,
  });
  await context.addInitScript(inPage);
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.errors = [];
  page.on("pageerror", (error) => page.errors.push(String(error)));
  return page;
}

export async function closePage(page) {
  assert.deepEqual(page.errors, [], "errors on the page");
  const violations = await page.evaluate(() => window.dauysTest.violations);
  assert.deepEqual(violations, [], "against the page's Content-Security-Policy");
  await page.context().close();
}

/** The widget, as a person or a screen reader finds it. */
export function widget(page) {
  const root = page.locator("dauys-widget .root");
  const button = (name) => page.getByRole("button", { name, exact: true });
  const phase = async (wanted, mode) => {
    const at = `dauys-widget .root[data-phase="${wanted}"]${mode ? `[data-mode="${mode}"]` : ""}`;
    await page.locator(at).waitFor({ state: "attached" });
  };
  const text = (words) => page.locator("dauys-widget").getByText(words).first();
  return { root, button, phase, text, input: page.locator("dauys-widget input"), lines: page.locator("dauys-widget .line:not(.typing)") };
}

/** No violation of WCAG 2.2 A and AA, nor of axe's best practices. */
export async function accessible(page, where) {
  await page.evaluate(axe);
  // What fades in has its contrast when it is there.
  await page.waitForTimeout(350);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const told = violations.map((v) => `${v.id}: ${v.help}\n  ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join("\n  ")}`);
  assert.equal(told.join("\n"), "", `axe: ${where}`);
}

/** Of the whole window, or of the panel with a little of the page around it. */
export async function shot(page, name, { panel = false } = {}) {
  if (!process.env.SHOTS) return;
  mkdirSync(process.env.SHOTS, { recursive: true });
  await page.waitForTimeout(350);
  let clip;
  if (panel) {
    const box = await page.locator("dauys-widget .panel").boundingBox();
    const { width, height } = page.viewportSize();
    const [x, y] = [box.x - 20, Math.max(0, box.y - 20)];
    clip = { x, y, width: width - x, height: height - y };
  }
  await page.screenshot({ path: `${process.env.SHOTS}/${name}.png`, clip });
}

/** Polls until it holds, or fails saying what was waited for. */
export async function until(what, holds, patienceMs = PATIENCE_MS) {
  const end = Date.now() + patienceMs;
  for (;;) {
    const value = await holds();
    if (value) return value;
    assert.ok(Date.now() < end, `waited ${patienceMs} ms for ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

export function writeWav(path, base64, rate = 48_000) {
  const data = Buffer.from(base64, "base64");
  const head = Buffer.alloc(44);
  head.write("RIFF", 0);
  head.writeUInt32LE(36 + data.length, 4);
  head.write("WAVEfmt ", 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(rate, 24);
  head.writeUInt32LE(rate * 2, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write("data", 36);
  head.writeUInt32LE(data.length, 40);
  writeFileSync(path, Buffer.concat([head, data]));
}
