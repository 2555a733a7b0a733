// A person on the demo page of a real gateway: presses, speaks recordings into the microphone, reads captions, and keeps what
// was heard. Prints one line a step; exits with an error where a step does not come.
//
// Usage: node talk.mjs SCENARIO GATEWAY_URL OUT.wav QUESTION.wav
//   kept      consents, asks; writes; talks again after a reload and with another microphone; hangs up
//   unkept    refuses consent, asks, hangs up
//   cut       consents; the loopback device goes down for a while (run in a network namespace); asks
//   site      from a page of another origin (SITE_PORT) with tokens (API_TOKEN); then with a used token; then from a foreign page
//   timed     measures how long it takes from the press to the first sound, twenty times
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";

import { closePage, launch, newPage, until, widget, writeWav } from "./harness.mjs";
import { newToken, site } from "./site.mjs";

const [scenario, gateway, out, question] = process.argv.slice(2);
const wav = readFileSync(question).toString("base64");
const started = Date.now();
const step = (...words) => console.log(((Date.now() - started) / 1000).toFixed(1), ...words);

// A browser uses loopback only where it is told to; in a namespace there is nothing else.
const alone = Object.values(networkInterfaces()).flat().every(({ internal }) => internal);
const browser = await launch(alone ? ["--allow-loopback-in-peer-connection"] : []);
let page = await newPage(browser);
let w = widget(page);
const sinceStart = { at: 0 };

const lines = async (who) =>
  (await page.locator(`dauys-widget .line.${who}`).allTextContents()).map((line) => line.replace(/^[^:]*: /, ""));
const listening = () => page.locator('dauys-widget .root[data-phase="live"][data-look="listening"]').waitFor({ state: "attached" });

async function begin() {
  await page.goto(`${gateway}/demo`);
  await w.button("Talk to us").click();
  await w.button("Start talking").click();
  sinceStart.at = Date.now();
  await w.phase("live", "voice");
  step("connected");
}

async function choose(name, shown) {
  await w.button(name).click();
  await w.text(shown).waitFor();
  step("chosen", name);
  await listening();
}

/** Asks by voice, and waits for the answer's caption; what was heard since goes to the file. */
async function ask(word, keep) {
  const before = (await lines("agent")).length;
  const asked = Date.now();
  await page.evaluate((sound) => window.dauysTest.say(sound), wav);
  step("asked");
  await until(`an answer with ${word}`, async () => (await lines("agent")).slice(before).join(" ").toLowerCase().includes(word));
  step("answered");
  await listening();
  const caller = await lines("caller");
  assert.ok(caller.some((line) => line.toLowerCase().includes("saturday")), `the question's caption: ${caller}`);
  if (keep) {
    await page.waitForTimeout(500);
    const from = Math.max(0, (asked - sinceStart.at) / 1000);
    writeWav(out, await page.evaluate((seconds) => window.dauysTest.recording(seconds), from));
    step("recorded");
  }
}

async function type(text, word) {
  await w.input.fill(text);
  await page.keyboard.press("Enter");
  await until(`an answer with ${word}`, async () => (await lines("agent")).join(" ").toLowerCase().includes(word));
  step("answered in writing");
}

async function end() {
  await w.button("End").click();
  await w.phase("ended");
  step("ended");
}

const scenarios = {
  async kept() {
    await begin();
    await choose("Yes, keep it", "A transcript is kept");
    await ask("nine", true);
    await w.button("Write").click();
    await w.phase("live", "text");
    step("writes");
    await type("How much is a cleaning?", "ninety");
    await page.reload();
    await w.phase("live", "text");
    await w.text("A transcript is kept").waitFor();
    step("reloaded while writing");
    await w.button("Speak").click();
    await w.phase("live", "voice");
    await page.reload();
    await w.phase("live", "voice");
    await listening();
    step("reloaded while talking");
    await page.evaluate(() => {
      window.dauysTest.devices = ["headset"];
      navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
    });
    await until("the other microphone", () => page.evaluate(() => window.dauysTest.opened === 2));
    step("another microphone");
    await ask("nine", false);
    await end();
  },

  async unkept() {
    await begin();
    await choose("No", "Nothing you say is kept");
    await ask("nine", true);
    await end();
  },

  async cut() {
    await begin();
    await choose("Yes, keep it", "A transcript is kept");
    execFileSync("ip", ["link", "set", "lo", "down"]);
    step("cut");
    await w.phase("reconnecting", "voice");
    step("noticed");
    await page.waitForTimeout(2000);
    execFileSync("ip", ["link", "set", "lo", "up"]);
    await w.phase("live", "voice");
    step("back");
    assert.equal(await page.evaluate(() => window.dauysTest.peers.length), 1, "by a restart of ICE, not by a new call");
    await listening();
    await ask("nine", false);
    await end();
  },

  async site() {
    const told = [];
    page.on("console", (message) => told.push(message.text()));
    let used;
    const backend = async (origin) => (used ??= await newToken(gateway, origin));
    const known = await site(Number(process.env.SITE_PORT), gateway, backend);
    await page.goto(known.url);
    await w.button("Talk to us").click();
    await w.button("Start talking").click();
    await w.phase("live", "voice");
    step("connected from another origin");
    await choose("No", "Nothing you say is kept");
    await w.button("Write").click();
    await w.phase("live", "text");
    await type("How much is a cleaning?", "ninety");
    await end();
    await w.button("Start again").click();
    await w.text("No conversation can be started here").waitFor();
    step("a used token:", told.find((text) => text.includes("Dauys: 401")) ?? "no reason on the console");
    used = undefined;
    await w.button("Try again").click();
    await w.phase("live", "text");
    await end();
    const foreign = await site(0, gateway, () => used);
    await closePage(page);
    page = await newPage(browser);
    w = widget(page);
    page.on("console", (message) => told.push(message.text()));
    await page.goto(foreign.url);
    await w.button("Talk to us").click();
    await w.button("Write instead").click();
    await w.text("The assistant cannot be reached").waitFor();
    step("a foreign page:", told.find((text) => text.includes("origins")) ?? "no reason on the console");
    known.close();
    foreign.close();
  },

  async timed() {
    const times = [];
    for (let run = 0; run < 20; run++) {
      await page.goto(`${gateway}/demo`);
      await w.button("Talk to us").click();
      await w.button("Start talking").waitFor();
      await page.waitForTimeout(500);
      times.push(await page.evaluate(firstSound));
      await end();
    }
    times.sort((a, b) => a - b);
    const at = (share) => Math.round(times[Math.ceil(share * times.length) - 1]);
    step(`from the press to the first sound: p50 ${at(0.5)} ms, p95 ${at(0.95)} ms of ${times.length}`);
  },
};

/** In the page: milliseconds from the press to the first loud sample of the agent's. */
function firstSound() {
  const shadow = document.querySelector("dauys-widget").shadowRoot;
  return new Promise((done) => {
    const began = performance.now();
    shadow.querySelector(".card .button").click();
    const context = new AudioContext({ latencyHint: "interactive" });
    const samples = new Float32Array(256);
    let analyser;
    const look = setInterval(() => {
      const stream = shadow.querySelector("audio").srcObject;
      if (stream && !analyser) {
        analyser = new AnalyserNode(context, { fftSize: 256 });
        context.createMediaStreamSource(stream).connect(analyser);
      }
      analyser?.getFloatTimeDomainData(samples);
      if (analyser && samples.some((s) => Math.abs(s) > 0.01)) {
        clearInterval(look);
        context.close();
        done(performance.now() - began);
      }
    }, 2);
  });
}

try {
  await scenarios[scenario]();
  await closePage(page);
} catch (error) {
  const shown = await page.locator("dauys-widget .root").innerText().catch(() => "");
  console.error(`${error.stack}\n--- shown:\n${shown}\n--- errors:\n${page.errors.join("\n")}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
