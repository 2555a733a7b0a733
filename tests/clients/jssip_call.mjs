// One call with JsSIP over a WebSocket. JsSIP does the signalling, as it does in a browser; where a browser would
// bring its own media engine (DTLS-SRTP), a small one speaks plain RTP with PCMU.
//
// Usage: node jssip_call.mjs WS_URL SIP_URI PLAY.ul RECORD.ul SECONDS [actions]
//        node jssip_call.mjs WS_URL answer  PLAY.ul RECORD.ul SECONDS [actions]    waits for a call instead
// actions: comma-separated `AT:WHAT`, AT in seconds after the answer; WHAT is hold, resume, info=DIGIT or bye.
// Prints one line an event, with the RTP packets received so far where it is about media, and `received N` at the end.
// JSSIP_MODULES names the folder of node_modules; JSSIP_ORIGIN is the web page that it says it is.
import { createRequire } from "node:module";
import dgram from "node:dgram";
import fs from "node:fs";

const require = createRequire(process.env.JSSIP_MODULES + "/package.json");
globalThis.window = globalThis;
const origin = process.env.JSSIP_ORIGIN;
globalThis.WebSocket = class extends require("ws") {
  constructor(url, protocol) {
    super(url, protocol, origin ? { origin } : {});
    this.on("unexpected-response", (_, { statusCode }) => say("refused", statusCode));
  }
};

const [wsUrl, target, play, record, seconds, actions = ""] = process.argv.slice(2);
const say = (...words) => console.log(...words);

/** Just enough of RTCPeerConnection: one PCMU stream over plain RTP. */
class PeerConnection {
  constructor() {
    this.signalingState = "stable";
    this.iceConnectionState = "connected";
    this.iceGatheringState = "complete";
    this.connectionState = "connected";
    this.received = 0;
    this.heard = [];
    this.speech = fs.readFileSync(play);
    this.at = 0;
    this.sequence = 1;
    this.ssrc = (Math.random() * 2 ** 32) >>> 0;
    this.direction = "sendrecv";
    this.version = 1;
    this.socket = dgram.createSocket("udp4");
    this.bound = new Promise((done) => this.socket.bind(0, "127.0.0.1", done));
    this.socket.on("message", (packet) => {
      if (packet.length > 12 && (packet[1] & 0x7f) === 0) {
        this.received += 1;
        this.heard.push(packet.subarray(12));
      }
    });
    current = this;
  }
  addEventListener() {}
  removeEventListener() {}
  addTrack() {}
  addStream() {}
  getSenders() { return []; }
  getReceivers() { return []; }
  getLocalStreams() { return []; }
  async createOffer() { await this.bound; return { type: "offer", sdp: this.describe() }; }
  async createAnswer() { await this.bound; return { type: "answer", sdp: this.describe() }; }
  async setLocalDescription(description) { this.localDescription = description; }
  async setRemoteDescription(description) {
    this.remoteDescription = description;
    const address = /^c=IN IP4 (\S+)/m.exec(description.sdp);
    const port = /^m=audio (\d+)/m.exec(description.sdp);
    this.remote = { address: address[1], port: Number(port[1]) };
    this.timer ??= setInterval(() => this.tick(), 20);
  }
  describe() {
    const { port } = this.socket.address();
    return ["v=0", `o=- 7 ${this.version++} IN IP4 127.0.0.1`, "s=-", "c=IN IP4 127.0.0.1", "t=0 0",
      `m=audio ${port} RTP/AVP 0 101`, "a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000",
      "a=fmtp:101 0-15", "a=ptime:20", `a=${this.direction}`, ""].join("\r\n");
  }
  tick() {
    const packet = Buffer.alloc(172, 0xff);
    packet.writeUInt16BE(0x8000, 0);
    packet.writeUInt16BE(this.sequence & 0xffff, 2);
    packet.writeUInt32BE((this.sequence * 160) >>> 0, 4);
    packet.writeUInt32BE(this.ssrc, 8);
    // Silence once the file has ended.
    if (this.at < this.speech.length) this.speech.copy(packet, 12, this.at, this.at + 160);
    this.at += 160;
    this.sequence += 1;
    this.socket.send(packet, this.remote.port, this.remote.address);
  }
  close() {
    if (this.timer) clearInterval(this.timer);
    if (this.signalingState !== "closed") this.socket.close();
    this.signalingState = "closed";
  }
}

let current;
globalThis.RTCPeerConnection = PeerConnection;
globalThis.RTCSessionDescription = class { constructor(d) { Object.assign(this, d); } };
const noStream = { getTracks: () => [], getAudioTracks: () => [], getVideoTracks: () => [] };
const { default: JsSIP } = await import(require.resolve("jssip")).then((m) => (m.default?.UA ? m : { default: m }));

const socket = new JsSIP.WebSocketInterface(wsUrl);
const agent = new JsSIP.UA({ sockets: [socket], uri: "sip:jssip@example.invalid", register: false, session_timers: true });

function follow(session) {
  const perform = (what) => {
    if (what === "hold") { current.direction = "sendonly"; session.hold({}, () => say("held", current.received)); }
    if (what === "resume") {
      say("resuming", current.received);
      current.direction = "sendrecv";
      session.unhold({}, () => say("resumed", current.received));
    }
    if (what.startsWith("info=")) session.sendDTMF(what.slice(5), { transportType: "INFO" });
    if (what === "bye") session.terminate();
  };
  session.on("progress", () => say("ringing"));
  session.on("confirmed", () => {
    say("answered");
    for (const action of actions.split(",").filter(Boolean)) {
      const [at, what] = action.split(":");
      setTimeout(() => perform(what), Number(at) * 1000);
    }
  });
  session.on("ended", ({ cause }) => finish(`ended ${cause}`));
  session.on("failed", ({ cause }) => finish(`failed ${cause}`));
}

function finish(how) {
  say(how);
  if (current) {
    fs.writeFileSync(record, Buffer.concat(current.heard));
    say("received", current.received);
  }
  agent.stop();
  setTimeout(() => process.exit(0), 300);
}

agent.on("connected", () => {
  say("connected");
  if (target !== "answer") follow(agent.call(target, { mediaConstraints: { audio: true }, mediaStream: noStream }));
});
agent.on("disconnected", () => say("disconnected"));
agent.on("newRTCSession", ({ originator, session }) => {
  if (originator !== "remote") return;
  follow(session);
  session.answer({ mediaConstraints: { audio: true }, mediaStream: noStream });
});
setTimeout(() => {
  agent.terminateSessions();
  setTimeout(() => finish("timeout"), 1000);
}, Number(seconds) * 1000);
agent.start();
