// A gateway for the widget's tests: the same addresses and messages, no agent. A test says what it says, and reads what it
// heard. The other end of its calls is a browser page (peer.mjs).
import { createServer } from "node:http";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

import { require } from "./harness.mjs";
import { inPeer } from "./peer.mjs";
import { script } from "../../web/widget/build.mjs";

const { WebSocketServer } = require("ws");
const root = new URL("../../", import.meta.url);
const read = (path) => readFileSync(new URL(path, root), "utf8");
/** The policy of the real page. */
const POLICY = /"content-security-policy",\s*"([^"]*)"/.exec(read("src/http/widget.rs"))[1].replace(/\\\s+/g, "");

export const ABOUT = {
  agent: "front-desk",
  name: "Bright Smile Dental",
  language: "en",
  disclosure: "Hello, this is Bright Smile Dental. I'm the clinic's AI assistant.",
  consent: {
    scope: "transcript",
    text: "May I keep a written transcript of this call? Please say yes or no.",
    policy_version: "2026-11",
    policy_url: "https://example.com/privacy",
  },
  ice_servers: [],
  reconnect_s: 20,
  voice: true,
};

/** One conversation, by whichever road. */
class Conversation {
  constructor(mock, id) {
    Object.assign(this, { mock, id, heard: [], roads: [], restarts: 0, ended: false });
  }

  tell(...messages) {
    for (const message of messages) {
      const text = JSON.stringify(message);
      if (this.socket) this.socket.send(text);
      else this.mock.peer.evaluate(([id, said]) => window.tell(id, said), [this.id, text]);
    }
  }

  hello() {
    this.tell({ type: "hello", call: "0123456789abcdef", agent: "front-desk", language: "en", resume: this.id });
  }

  speak(on) {
    return this.mock.peer.evaluate(([id, loud]) => window.speak(id, loud), [this.id, on]);
  }

  level() {
    return this.mock.peer.evaluate((id) => window.level(id), this.id);
  }

  said(type) {
    return this.heard.filter((message) => message.type === type);
  }
}

export class Mock {
  /** `browser`: where the other ends of calls live. */
  static async start(browser) {
    const mock = new Mock();
    mock.peer = await browser.newPage();
    await mock.peer.exposeFunction("peerHeard", (id, text) => mock.conversations.get(id)?.heard.push(JSON.parse(text)));
    await mock.peer.evaluate(inPeer);
    await new Promise((done) => mock.server.listen(0, "127.0.0.1", done));
    mock.url = `http://127.0.0.1:${mock.server.address().port}`;
    return mock;
  }

  constructor() {
    this.reset();
    this.sockets = new WebSocketServer({ noServer: true });
    this.server = createServer((request, response) => {
      this.serve(request, response).catch((error) => {
        response.writeHead(500).end(JSON.stringify({ error: String(error) }));
      });
    });
    this.server.on("upgrade", (request, socket, head) => this.chat(request, socket, head));
  }

  /** As after a start. `refuse`: the status that new conversations get; `drop`: so many WebSockets are cut before they
   * open; `about`: what differs of the agent. */
  reset() {
    Object.assign(this, { conversations: new Map(), refuse: 0, drop: 0, about: {}, tokens: [], shown: [], requests: [] });
  }

  get newest() {
    return [...this.conversations.values()].at(-1);
  }

  async serve(request, response) {
    const url = new URL(request.url, this.url);
    const [, first, ...rest] = url.pathname.split("/");
    const body = (await request.setEncoding("utf8").toArray()).join("");
    this.requests.push({ method: request.method, path: url.pathname, query: url.search, headers: request.headers, body });
    const send = (status, type, text, headers = {}) => response.writeHead(status, { "Content-Type": type, ...headers }).end(text);
    const json = (status, value) => send(status, "application/json", JSON.stringify(value));
    const files = { "demo.css": "text/css", "demo.js": "text/javascript" };
    if (first === "demo") send(200, "text/html", read("web/demo.html"), { "Content-Security-Policy": POLICY });
    else if (first === "widget.js") send(200, "text/javascript", script());
    else if (first in files) send(200, files[first], read(`web/${first}`));
    else if (first === "token") json(200, { token: this.token() });
    else if (first === "web") json(200, { ...ABOUT, ...this.about });
    else if (first === "whip") await this.whip(request, url, rest, body, send, json);
    else if (first === "chat") json(this.whyNot(url), { error: "this is for WebSockets" });
    else json(404, { error: "no such page" });
  }

  token() {
    this.tokens.push(randomBytes(4).toString("hex"));
    return this.tokens.at(-1);
  }

  /** A conversation that goes on, or a new one; none: the status it was refused with. */
  conversation(url, token) {
    const resume = url.searchParams.get("resume");
    if (resume) return this.conversations.get(resume) ?? 404;
    if (this.refuse) return this.refuse;
    this.shown.push(token);
    const id = randomBytes(16).toString("hex");
    this.conversations.set(id, new Conversation(this, id));
    return this.newest;
  }

  /** What a WebSocket of this address would be refused with. */
  whyNot(url) {
    const resume = url.searchParams.get("resume");
    const refused = resume ? !this.conversations.has(resume) && 404 : this.refuse;
    return refused || 426;
  }

  async whip(request, url, [agent, id], body, send, json) {
    if (request.method === "POST") {
      const found = this.conversation(url, request.headers.authorization);
      if (typeof found === "number") return json(found, { error: "refused by the test" });
      found.roads.push("voice");
      const answer = await this.peer.evaluate(([key, sdp]) => window.answer(key, sdp), [found.id, body]);
      const socket = found.socket;
      found.socket = undefined;
      found.hello();
      socket?.close();
      return send(201, "application/sdp", answer, { Location: `/whip/${agent}/${found.id}`, ETag: '"1"' });
    }
    const found = this.conversations.get(id);
    if (!found) return json(404, { error: "no such call" });
    if (request.method === "PATCH") {
      found.restarts += 1;
      const answer = await this.peer.evaluate(([key, fragment]) => window.restart(key, fragment), [id, body]);
      const kept = answer.split(/\r?\n/).filter((line) => /^(m=audio|a=(mid|ice-|candidate|end-of))/.test(line));
      return send(200, "application/trickle-ice-sdpfrag", `${kept.join("\r\n")}\r\n`, { ETag: '"2"' });
    }
    found.ended = true;
    this.conversations.delete(id);
    return json(200, {});
  }

  chat(request, socket, head) {
    const url = new URL(request.url, this.url);
    this.requests.push({ method: "GET", path: url.pathname, query: url.search, headers: request.headers, body: "" });
    if (this.drop > 0) {
      this.drop -= 1;
      return void socket.destroy();
    }
    const found = this.conversation(url, url.searchParams.get("token"));
    if (typeof found === "number") return void socket.end(`HTTP/1.1 ${found} no\r\n\r\n`);
    this.sockets.handleUpgrade(request, socket, head, (opened) => {
      found.roads.push("text");
      found.socket = opened;
      opened.on("message", (data) => {
        const message = JSON.parse(data);
        found.heard.push(message);
        if (message.type === "bye") found.ended = true;
      });
      found.hello();
    });
  }

  async close() {
    for (const socket of this.sockets.clients) socket.terminate();
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
    await this.peer.close();
  }
}
