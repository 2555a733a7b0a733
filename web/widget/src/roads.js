// Roads: how page and call reach each other, by voice or in writing. They decide nothing.

const attributes = (sdp, name) => sdp.match(new RegExp(`^a=${name}:.*$`, "gm"))?.map((line) => line.trim()) ?? [];

/** RFC 8840: what of an offer restarts ICE. */
function iceFragment(offer) {
  const media = /^m=.*$/m.exec(offer)?.[0].trim();
  const [mid] = attributes(offer, "mid");
  const [ufrag] = attributes(offer, "ice-ufrag");
  const [pwd] = attributes(offer, "ice-pwd");
  return [...attributes(offer, "group"), media, mid, ufrag, pwd, ""].join("\r\n");
}

/** The answer that there was, with the credentials and candidates of a fragment. */
function restartedAnswer(answer, fragment) {
  const [ufrag] = attributes(fragment, "ice-ufrag");
  const [pwd] = attributes(fragment, "ice-pwd");
  if (!ufrag || !pwd) throw new Failure("network");
  const candidates = attributes(fragment, "candidate");
  const lines = answer.split(/\r?\n/).filter((line) => !candidates.length || !/^a=(candidate|end-of-cand)/.test(line));
  return lines
    .flatMap((line) => {
      if (line.startsWith("a=ice-ufrag:")) return [ufrag];
      if (line.startsWith("a=ice-pwd:")) return [pwd, ...candidates];
      return [line];
    })
    .join("\r\n");
}

/** Sound by WebRTC, and messages over its data channel. `hears` is told message, sound, down. */
class VoiceRoad {
  constructor(gateway, hears) {
    this.gateway = gateway;
    this.hears = hears;
  }

  async open({ track, iceServers, resume, token }) {
    const pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this.pc = pc;
    this.channel = pc.createDataChannel("dauys");
    this.channel.onmessage = ({ data }) => this.hears.message(data);
    pc.ontrack = (event) => this.hears.sound(new MediaStream([event.track]));
    pc.onconnectionstatechange = () => this.watch();
    this.sender = pc.addTransceiver(track ?? "audio", { direction: "sendrecv" }).sender;
    await pc.setLocalDescription();
    // The gateway is ICE-lite: it needs none of our candidates, so nothing is waited for.
    const { answer, id } = await this.gateway.offer(pc.localDescription.sdp, { resume, token });
    this.id = id;
    if (this.left) return this.end();
    await pc.setRemoteDescription({ type: "answer", sdp: answer });
    await this.connected(CONNECT_MS_MAX);
  }

  watch() {
    const state = this.pc.connectionState;
    clearTimeout(this.grace);
    if (state === "connected") this.whenConnected?.();
    if (state === "failed") this.hears.down(this);
    if (state === "disconnected") this.grace = setTimeout(() => this.hears.down(this), GRACE_MS);
  }

  connected(msMax) {
    if (this.pc.connectionState === "connected") return Promise.resolve();
    return new Promise((done, failed) => {
      const timer = setTimeout(() => failed(new Failure("blocked")), msMax);
      this.whenConnected = () => {
        clearTimeout(timer);
        done();
      };
    });
  }

  /** New ICE, over whatever network there is now; keys, sound and messages go on. */
  async restart() {
    const { pc } = this;
    await pc.setLocalDescription(await pc.createOffer({ iceRestart: true }));
    try {
      const fragment = await this.gateway.restart(this.id, iceFragment(pc.localDescription.sdp));
      const sdp = restartedAnswer(pc.currentRemoteDescription.sdp, fragment);
      await pc.setRemoteDescription({ type: "answer", sdp });
    } catch (failure) {
      if (pc.signalingState === "have-local-offer") await pc.setLocalDescription({ type: "rollback" });
      throw failure;
    }
    await this.connected(MEND_MS_MAX);
  }

  send(message) {
    if (this.channel?.readyState !== "open") return false;
    this.channel.send(JSON.stringify(message));
    return true;
  }

  /** RFC 4733 where the channel is not there yet. */
  digit(digit) {
    if (!this.send({ type: "digit", digit })) this.sender?.dtmf?.insertDTMF(digit);
  }

  /** Goes, without a word to the gateway: the conversation may go on elsewhere. */
  leave() {
    this.left = true;
    clearTimeout(this.grace);
    this.pc?.close();
  }

  end() {
    this.leave();
    if (this.id) this.gateway.end(this.id).catch(() => {});
  }
}

/** Words over a WebSocket. */
class TextRoad {
  constructor(gateway, hears) {
    this.gateway = gateway;
    this.hears = hears;
  }

  async open({ resume, token }) {
    const socket = this.gateway.chat({ resume, token });
    this.socket = socket;
    socket.onmessage = ({ data }) => this.hears.message(data);
    const timer = setTimeout(() => socket.close(), REQUEST_MS_MAX);
    const opened = await new Promise((done) => {
      socket.onopen = () => done(true);
      socket.onclose = () => done(false);
    });
    clearTimeout(timer);
    if (!opened) throw await this.gateway.noChat({ resume, token });
    // 1000: the call is over, or goes on elsewhere.
    socket.onclose = ({ code }) => this.left || this.hears.down(this, code === 1000);
  }

  send(message) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  digit(digit) {
    this.send({ type: "digit", digit });
  }

  leave() {
    this.left = true;
    this.socket?.close();
  }

  end() {
    this.send({ type: "bye" });
    this.leave();
  }
}
