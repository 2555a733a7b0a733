// The widget's states in a real browser, with a gateway of the test's own (mock.mjs): what is shown, said, sent and kept.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";

import { accessible, closePage, launch, newPage, shot, until, widget } from "./harness.mjs";
import { ABOUT, Mock } from "./mock.mjs";

// Both ends are on this machine, and it may have no other network.
const LOOPBACK = ["--allow-loopback-in-peer-connection", "--disable-features=WebRtcHideLocalIpsWithMdns"];
const CONSENT = { type: "consent", ...ABOUT.consent };
const state = (word) => ({ type: "state", state: word });
const caption = (who, id, text, final = true) => ({ type: "caption", who, id, text, final });

let browser, mock, page, w;
before(async () => {
  browser = await launch(LOOPBACK);
  mock = await Mock.start(browser);
});
after(async () => {
  await mock.close();
  await browser.close();
});
beforeEach(() => mock.reset());
afterEach(async () => {
  if (page) await closePage(page);
  page = undefined;
});

async function open(query = "", options = {}) {
  page = await newPage(browser, options);
  await page.goto(`${mock.url}/demo${query}`);
  w = widget(page);
}

/** A conversation by voice that has begun. */
async function talking(query = "", options = {}) {
  await open(query, options);
  await page.locator("dauys-widget .launcher").click();
  await page.locator("dauys-widget .card .button.first").click();
  await w.phase("live", "voice");
  return mock.newest;
}

async function writing(query = "", options = {}) {
  await open(query, options);
  await w.button("Talk to us").click();
  await w.button("Write instead").click();
  await w.phase("live", "text");
  return mock.newest;
}

const texts = async () => (await w.lines.allTextContents()).map((line) => line.replace(/^(You|Assistant): /, "").trim());
const focused = () => page.evaluate(() => document.querySelector("dauys-widget").shadowRoot.activeElement?.textContent.trim());

test("a keyboard opens it, finds its first choice, and is put back where it was", async () => {
  await open();
  await page.locator("dauys-widget .launcher").focus();
  await page.keyboard.press("Enter");
  assert.equal(await focused(), "Start talking");
  await w.text(ABOUT.disclosure).waitFor();
  assert.equal(await page.locator("dauys-widget a").getAttribute("href"), ABOUT.consent.policy_url);
  assert.match(await page.locator("dauys-widget a").innerText(), /version 2026-11/);
  await accessible(page, "the first choice");
  await shot(page, "widget-light");
  await page.keyboard.press("Escape");
  assert.equal(await focused(), "Talk to us");
  await accessible(page, "closed");
  assert.equal(mock.requests.filter((r) => /whip|chat/.test(r.path)).length, 0, "nothing begins before a press");
});

test("a page gets one name more, no cookie and nothing to keep", async () => {
  await open();
  const names = () => page.evaluate(() => Object.getOwnPropertyNames(window));
  const [cookies, kept] = await page.evaluate(() => [document.cookie, localStorage.length + sessionStorage.length]);
  assert.deepEqual([cookies, kept], ["", 0]);
  const withWidget = await names();
  await page.goto(`${mock.url}/demo.css`);
  const without = new Set(await names());
  assert.deepEqual(withWidget.filter((name) => !without.has(name)), ["Dauys"]);
});

test("it says when it listens, thinks and speaks, and shows what both sides say", async () => {
  const call = await talking();
  assert.equal(await focused(), "Mute");
  for (const [word, shown] of [["thinking", "Thinking"], ["speaking", "Speaking"], ["held", "On hold"], ["listening", "Listening"]]) {
    call.tell(state(word));
    await w.text(shown).waitFor();
    await accessible(page, word);
  }
  call.tell(caption("agent", 1, "Hello, this is Bright Smile Dental."), caption("agent", 2, "How can I help you?"));
  call.tell(caption("caller", 3, "What time do", false));
  await w.text("What time do").waitFor();
  assert.equal(await page.locator("dauys-widget .draft").count(), 1);
  call.tell(caption("caller", 3, "What time do you open on Saturday?"), state("thinking"), state("speaking"));
  call.tell(caption("agent", 4, "On Saturday we are open from nine to two."));
  await w.text("from nine to two").waitFor();
  await call.speak(true);
  await until("the agent's voice on the orb", () => page.evaluate(() => {
    const orb = document.querySelector("dauys-widget").shadowRoot.querySelector(".orb");
    return Number(orb.style.getPropertyValue("--level")) > 0.05;
  }));
  await accessible(page, "captions");
  await shot(page, "widget-speaking", { panel: true });
  // Interrupted: what was not heard is taken back.
  call.tell(caption("agent", 4, "On Saturday we"));
  await until("the cut", async () => (await texts())[2] === "On Saturday we");
  assert.deepEqual(await texts(), [
    "Hello, this is Bright Smile Dental. How can I help you?", "What time do you open on Saturday?", "On Saturday we",
  ]);
  const spoken = await page.locator("dauys-widget [aria-live=polite]").innerText();
  assert.match(spoken, /You: What time do you open on Saturday\?/);
  assert.equal(spoken.match(/On Saturday/g).length, 1, "a cut is not read out again");
});

test("a draft that the gateway drops is gone, and markup is text", async () => {
  const call = await talking();
  call.tell(caption("caller", 1, "hmm", false));
  await w.text("hmm").waitFor();
  call.tell(caption("caller", 2, "<b onclick=alert(1)>bold</b>"));
  await w.text("bold").waitFor();
  assert.deepEqual(await texts(), ["<b onclick=alert(1)>bold</b>"]);
  call.tell({ type: "nonsense" }, { type: "caption", who: "nobody", id: 1, text: "x" }, { type: "toString" });
  call.tell(caption("caller", 3, "later"));
  await w.text("later").waitFor();
});

test("consent is asked as text with its policy, and given by a click", async () => {
  const call = await talking();
  call.tell(state("speaking"), caption("agent", 1, ABOUT.disclosure), CONSENT);
  await page.getByRole("group", { name: "Your choice" }).waitFor();
  assert.match(await page.locator("dauys-widget .consent a").innerText(), /version 2026-11/);
  await call.speak(true);
  await accessible(page, "consent");
  await shot(page, "widget-consent", { panel: true });
  await w.button("Yes, keep it").focus();
  await page.keyboard.press("Enter");
  await until("the answer", () => call.said("consent").length);
  assert.deepEqual(call.said("consent"), [{ type: "consent", scope: "transcript", grant: true, policy_version: "2026-11" }]);
  assert.ok(await w.button("No").isDisabled());
  assert.equal(await focused(), "Mute", "the focus is not lost with what it was on");
  call.tell({ type: "consented", scope: "transcript", granted: true });
  await w.text("A transcript is kept").waitFor();
  assert.ok(await page.locator("dauys-widget .consent").isHidden());
  await accessible(page, "consented");
  await w.button("Withdraw").click();
  await until("the withdrawal", () => call.said("withdraw").length);
  call.tell({ type: "consented", scope: "transcript", granted: false });
  await w.text("Nothing you say is kept").waitFor();
  assert.equal(await focused(), "Mute");
});

test("a policy's address that is no page is no link", async () => {
  const call = await talking();
  call.tell({ ...CONSENT, policy_url: "javascript:alert(1)" });
  await page.getByRole("group", { name: "Your choice" }).waitFor();
  assert.equal(await page.locator("dauys-widget .consent a").count(), 0);
});

test("mute, keypad, end", async () => {
  const call = await talking();
  await w.button("Mute").click();
  await w.text("Your microphone is off").waitFor();
  assert.equal(await page.evaluate(() => window.dauysTest.tracks.at(-1).enabled), false);
  await accessible(page, "muted");
  await w.button("Unmute").click();
  assert.equal(await page.evaluate(() => window.dauysTest.tracks.at(-1).enabled), true);
  await w.button("Keypad").click();
  assert.equal(await focused(), "1");
  await accessible(page, "keypad");
  await w.button("5").click();
  await page.keyboard.press("#");
  await until("the keys", () => call.said("digit").length === 2);
  assert.deepEqual(call.said("digit").map((m) => m.digit), ["5", "#"]);
  await page.keyboard.press("Escape");
  assert.equal(await focused(), "Keypad");
  await w.button("End").click();
  await w.phase("ended");
  await until("the end at the gateway", () => call.ended);
  assert.equal(await focused(), "The conversation is over");
  await accessible(page, "ended");
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  assert.equal(await page.evaluate(() => window.dauysTest.tracks.at(-1).readyState), "ended", "the microphone is off");
  await w.button("Start again").click();
  await w.phase("live", "voice");
  assert.notEqual(mock.newest.id, call.id);
  assert.deepEqual(await texts(), []);
});

test("the gateway ends it", async () => {
  const call = await talking();
  call.tell(caption("agent", 1, "Goodbye!"), { type: "ended", cause: "completed" });
  await w.phase("ended");
  assert.ok(await w.button("Start again").isVisible());
});

test("minimised, the conversation goes on and can be found again", async () => {
  const call = await talking();
  await w.button("Minimise").click();
  await page.locator("dauys-widget .launcher").getByText("Back to the conversation").waitFor();
  await accessible(page, "minimised");
  call.tell(caption("agent", 1, "Are you still there?"));
  await page.locator("dauys-widget .launcher").click();
  await w.text("Are you still there?").waitFor();
});

test("a refused microphone is no dead end: writing, then talking, then writing, in one conversation", async () => {
  await open();
  await page.evaluate(() => (window.dauysTest.refuse = "NotAllowedError"));
  await w.button("Talk to us").click();
  await w.button("Start talking").click();
  await w.phase("denied");
  await accessible(page, "microphone refused");
  await shot(page, "widget-refused", { panel: true });
  await w.button("Write instead").click();
  await w.phase("live", "text");
  const call = mock.newest;
  await w.input.fill("What time do you open on Saturday?");
  await page.keyboard.press("Enter");
  await until("the text", () => call.said("text").length);
  assert.deepEqual(call.said("text"), [{ type: "text", text: "What time do you open on Saturday?" }]);
  call.tell(caption("caller", 1, "What time do you open on Saturday?"), state("thinking"));
  await page.locator("dauys-widget .typing").waitFor();
  call.tell(state("listening"), caption("agent", 2, "On Saturday we are open from nine to two."));
  await w.text("from nine to two").waitFor();
  assert.equal((await texts()).length, 2, "what was typed is shown once");
  await accessible(page, "writing");
  await shot(page, "widget-chat", { panel: true });
  await w.button("Speak").click();
  await w.text("The microphone was not allowed").waitFor();
  await w.phase("live", "text");
  await page.evaluate(() => (window.dauysTest.refuse = null));
  await w.button("Speak").click();
  await w.phase("live", "voice");
  call.tell(caption("agent", 3, "Now I hear you."));
  await w.text("Now I hear you.").waitFor();
  await w.button("Write").click();
  await w.phase("live", "text");
  assert.deepEqual(call.roads, ["text", "voice", "text"]);
  assert.equal(mock.conversations.size, 1);
  assert.equal((await texts())[1], "On Saturday we are open from nine to two. Now I hear you.", "what was said stays");
  assert.equal(await page.evaluate(() => window.dauysTest.tracks.at(-1).readyState), "ended", "the microphone is off");
  assert.ok(!call.ended);
  await w.button("End").click();
  await until("the goodbye", () => call.said("bye").length);
});

for (const [error, title] of [["NotFoundError", "No microphone was found"], ["NotReadableError", "The microphone is in use"]]) {
  test(`${error}: ${title}`, async () => {
    await open();
    await page.evaluate((name) => (window.dauysTest.refuse = name), error);
    await w.button("Talk to us").click();
    await w.button("Start talking").click();
    await w.text(title).waitFor();
    await page.evaluate(() => (window.dauysTest.refuse = null));
    await w.button("Try again").click();
    await w.phase("live", "voice");
  });
}

test("a reloaded page goes on with its conversation, by voice and in writing", async () => {
  const call = await talking();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0, "nothing that a copy of the tab could use");
  await page.reload();
  await w.phase("live", "voice");
  assert.deepEqual(call.roads, ["voice", "voice"]);
  call.tell(caption("agent", 5, "Where were we?"));
  await w.text("Where were we?").waitFor();
  await w.button("Write").click();
  await w.phase("live", "text");
  await page.reload();
  await w.phase("live", "text");
  assert.deepEqual(call.roads, ["voice", "voice", "text", "text"]);
  assert.equal(mock.conversations.size, 1);
  mock.conversations.clear();
  await page.reload();
  await w.phase("ended");
  await page.reload();
  await w.phase("idle");
});

test("a page that may not sound before it is touched asks for that", async () => {
  await open();
  await page.evaluate(() => {
    const { play } = HTMLMediaElement.prototype;
    HTMLMediaElement.prototype.play = () => Promise.reject(new DOMException("not yet", "NotAllowedError"));
    window.dauysTest.allow = () => (HTMLMediaElement.prototype.play = play);
  });
  await w.button("Talk to us").click();
  await w.button("Start talking").click();
  await w.phase("live", "voice");
  await w.button("Turn the sound on").waitFor();
  await accessible(page, "no sound yet");
  await page.evaluate(() => window.dauysTest.allow());
  await w.button("Turn the sound on").click();
  await w.button("Turn the sound on").waitFor({ state: "hidden" });
});

test("a lost network: ICE anew, and the same conversation", async () => {
  const call = await talking();
  await page.evaluate(() => {
    const pc = window.dauysTest.peers.at(-1);
    window.before = pc.localDescription.sdp.match(/ice-ufrag:(.*)/)[1];
    Object.defineProperty(pc, "connectionState", { value: "failed", configurable: true });
    pc.dispatchEvent(new Event("connectionstatechange"));
    delete pc.connectionState;
  });
  await until("the restart", () => call.restarts === 1);
  await w.phase("live", "voice");
  const [before, now] = await page.evaluate(() => [
    window.before, window.dauysTest.peers.at(-1).localDescription.sdp.match(/ice-ufrag:(.*)/)[1],
  ]);
  assert.notEqual(before, now);
  assert.deepEqual(call.roads, ["voice"], "the same call");
  const patch = mock.requests.find((r) => r.method === "PATCH");
  assert.equal(patch.headers["if-match"], "*");
  assert.equal(patch.headers["content-type"], "application/trickle-ice-sdpfrag");
  call.tell(caption("agent", 1, "I hear you again."));
  await w.text("I hear you again.").waitFor();
  await call.speak(true);
});

test("the gateway has given the call up meanwhile: it is over", async () => {
  await talking();
  mock.conversations.clear();
  await page.evaluate(() => {
    const pc = window.dauysTest.peers.at(-1);
    Object.defineProperty(pc, "connectionState", { value: "failed" });
    pc.dispatchEvent(new Event("connectionstatechange"));
  });
  await w.phase("ended");
});

test("the gateway does not come back: it says so, once nobody waits there any more", async () => {
  mock.about = { reconnect_s: 3 };
  await talking();
  await page.route(/\/(whip|web)\//, (route) => route.abort());
  const cut = Date.now();
  await page.evaluate(() => {
    const pc = window.dauysTest.peers.at(-1);
    Object.defineProperty(pc, "connectionState", { value: "failed" });
    pc.dispatchEvent(new Event("connectionstatechange"));
  });
  await w.phase("reconnecting");
  await w.text("Reconnecting").waitFor();
  await w.text("The connection was lost").waitFor();
  assert.ok(Date.now() - cut >= 3000, "as long as the gateway would wait");
  await accessible(page, "lost");
  assert.equal(await page.evaluate(() => window.dauysTest.tracks.at(-1).readyState), "ended", "the microphone is off");
});

test("a cut WebSocket is opened again", async () => {
  const call = await writing();
  call.socket.terminate();
  await until("the second road", () => call.roads.length === 2);
  await w.phase("live", "text");
  call.tell(caption("agent", 1, "Still here."));
  await w.text("Still here.").waitFor();
  await accessible(page, "writing again");
});

test("a WebSocket that does not open ends no conversation that the gateway still holds", async () => {
  const call = await writing();
  mock.drop = 2;
  call.socket.terminate();
  await until("the second road", () => call.roads.length === 2);
  await w.phase("live", "text");
  assert.equal(mock.drop, 0);
  mock.conversations.clear();
  call.socket.terminate();
  await w.phase("ended");
});

test("what the browser knows of its network is not waited for, by voice and in writing", async () => {
  const call = await talking();
  const drop = async (ms) => {
    await page.context().setOffline(true);
    await w.phase("reconnecting");
    await accessible(page, "reconnecting");
    await page.waitForTimeout(ms);
    await page.context().setOffline(false);
    await w.phase("live");
  };
  await drop(500);
  assert.deepEqual([call.restarts, call.roads.join()], [1, "voice"]);
  await w.button("Write").click();
  await w.phase("live", "text");
  await drop(500);
  assert.deepEqual(call.roads, ["voice", "text", "text"]);
  call.tell(caption("agent", 1, "There you are."));
  await w.text("There you are.").waitFor();
});

test("another microphone is taken along", async () => {
  await talking();
  await page.evaluate(() => {
    window.dauysTest.devices = ["headset", "one"];
    navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
  });
  await until("the new microphone", () => page.evaluate(() => window.dauysTest.opened === 2));
  const sent = () => page.evaluate(() => {
    const { peers, tracks } = window.dauysTest;
    return peers.at(-1).getSenders()[0].track === tracks.at(-1) && tracks[0].readyState === "ended";
  });
  await until("the new track to be sent", sent);
  // One that comes beside it changes nothing.
  await page.evaluate(() => {
    window.dauysTest.devices = ["headset", "one", "third"];
    navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
  });
  await page.waitForTimeout(600);
  assert.equal(await page.evaluate(() => window.dauysTest.opened), 2);
  assert.equal(mock.newest.roads.length, 1);
});

test("tokens come from the site's backend, one for each conversation", async () => {
  await open("?none");
  await page.evaluate(() => {
    window.Dauys.widget.remove();
    window.Dauys.mount({ agent: "front-desk", gateway: location.origin, tokenUrl: "/token" });
  });
  await w.button("Talk to us").click();
  await w.button("Start talking").click();
  await w.phase("live", "voice");
  await w.button("Write").click();
  await w.phase("live", "text");
  await w.button("End").click();
  await w.button("Start again").click();
  await w.phase("live", "text");
  assert.equal(mock.conversations.size, 2);
  assert.equal(mock.shown[0], `Bearer ${mock.tokens[0]}`);
  assert.equal(mock.shown[1], mock.tokens.at(-1));
  assert.notEqual(mock.tokens[0], mock.tokens.at(-1));
  const asked = mock.requests.find((r) => r.path === "/token");
  assert.deepEqual([asked.method, asked.body], ["POST", '{"agent":"front-desk"}']);
});

const REFUSALS = {
  503: "All lines are busy",
  429: "All lines are busy",
  403: "No conversation can be started here",
  401: "No conversation can be started here",
  404: "This assistant is not available",
};
const ROADS = { voice: "Start talking", text: "Write instead" };
for (const [status, title] of Object.entries(REFUSALS)) {
  for (const [mode, button] of Object.entries(ROADS)) {
    test(`refused with ${status}, by ${mode}: ${title}`, async () => {
      mock.refuse = Number(status);
      await open();
      await w.button("Talk to us").click();
      await w.button(button).click();
      await w.phase("failed");
      await w.text(title).waitFor();
      await accessible(page, `refused with ${status}`);
      mock.refuse = 0;
      await w.button("Try again").click();
      await w.phase("live", mode);
    });
  }
}

test("without the gateway it says so", async () => {
  await open();
  await page.route(/\/(whip|web)\//, (route) => route.abort());
  await w.button("Talk to us").click();
  await w.button("Start talking").click();
  await w.text("The assistant cannot be reached").waitFor();
  await accessible(page, "unreachable");
});

test("an agent without a voice is written to", async () => {
  mock.about = { voice: false };
  await open();
  await w.button("Talk to us").click();
  await until("one choice", async () => !(await w.button("Start talking").isVisible()));
  await w.button("Write instead").click();
  await w.phase("live", "text");
  assert.ok(await w.button("Speak").isHidden());
});

test("ended while it is being connected, nothing stays open", async () => {
  await open();
  await page.route(/\/whip\//, async (route) => {
    await new Promise((done) => setTimeout(done, 6000));
    await route.continue();
  });
  await w.button("Talk to us").click();
  await w.button("Start talking").click();
  await w.phase("connecting");
  await accessible(page, "connecting");
  await w.text("This takes longer than usual").waitFor();
  await w.button("End").click();
  await w.phase("ended");
  await until("the call to be taken back", () => mock.requests.some((r) => r.method === "DELETE"));
  assert.equal(await page.evaluate(() => window.dauysTest.tracks.at(-1).readyState), "ended");
  await w.phase("ended");
});

test("Russian and Kazakh", async () => {
  const call = await talking("?language=ru");
  call.tell(state("listening"), caption("agent", 1, "Здравствуйте! Чем могу помочь?"));
  call.tell({ ...CONSENT, text: "Можно сохранить текст разговора?" });
  await w.text("Слушаю").waitFor();
  await w.button("Да, сохраняйте").waitFor();
  await w.button("Выключить микрофон").waitFor();
  assert.equal(await w.root.getAttribute("lang"), "ru");
  await accessible(page, "Russian");
  await shot(page, "widget-ru", { panel: true });
  await closePage(page);
  await open("?language=kk");
  await page.locator("dauys-widget .launcher").click();
  await w.button("Сөйлесуді бастау").waitFor();
  await accessible(page, "Kazakh");
});

test("dark, and on a phone", async () => {
  const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
  const call = await talking("", { ...phone, colorScheme: "dark" });
  call.tell(caption("agent", 1, "Hello, this is Bright Smile Dental."), CONSENT);
  await w.button("Yes, keep it").waitFor();
  await accessible(page, "dark, on a phone");
  await shot(page, "widget-mobile");
  const box = await page.locator("dauys-widget .panel").boundingBox();
  assert.deepEqual([box.x, box.y, box.width], [0, 0, 390], "it fills the screen");
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 390, "nothing sticks out");
  // The focus goes round inside.
  for (let tabs = 0; tabs < 12; tabs++) await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.localName), "dauys-widget");
  await closePage(page);
  const wide = await talking("?colour=plum", { colorScheme: "dark" });
  wide.tell(state("thinking"), caption("agent", 1, "Hello, this is Bright Smile Dental."));
  wide.tell(caption("caller", 2, "How much is a cleaning?"));
  await w.text("How much").waitFor();
  await accessible(page, "dark");
  await shot(page, "widget-dark", { panel: true });
});

test("a short window, large letters, forced colours and less motion", async () => {
  const call = await talking("", { viewport: { width: 320, height: 568 }, forcedColors: "active", reducedMotion: "reduce" });
  call.tell(caption("agent", 1, "Hello."), CONSENT);
  const yes = w.button("Yes, keep it");
  await yes.waitFor();
  await accessible(page, "forced colours");
  const box = await yes.boundingBox();
  assert.ok(box.y + box.height <= 568 && box.x >= 0 && box.x + box.width <= 320, "the choice is on the screen");
  const end = await w.button("End").boundingBox();
  assert.ok(end.y + end.height <= 568, "so is the end");
  const moves = await page.evaluate(() => document.querySelector("dauys-widget").shadowRoot.getAnimations().length);
  assert.equal(moves, 0, "nothing moves");
});
