// The other end of a call for the widget's tests: a browser's own WebRTC, on a page that plays the gateway. It talks to the
// test through `peerHeard`.

/** Runs in that page. */
export function inPeer() {
  const peers = (window.peers = {});
  const gathered = (pc) =>
    new Promise((done) => {
      const look = () => pc.iceGatheringState === "complete" && done(pc.localDescription.sdp);
      pc.addEventListener("icegatheringstatechange", look);
      look();
    });

  window.answer = async (id, sdp) => {
    peers[id]?.pc.close();
    const pc = new RTCPeerConnection();
    const peer = (peers[id] = { pc, waiting: [] });
    pc.ondatachannel = ({ channel }) => {
      peer.channel = channel;
      channel.onmessage = ({ data }) => window.peerHeard(id, data);
      channel.onopen = () => peer.waiting.splice(0).forEach((text) => channel.send(text));
      if (channel.readyState === "open") channel.onopen();
    };
    const context = new AudioContext();
    const voice = new OscillatorNode(context, { frequency: 180, type: "sawtooth" });
    peer.gain = new GainNode(context, { gain: 0 });
    const sound = context.createMediaStreamDestination();
    voice.connect(peer.gain).connect(sound);
    voice.start();
    await pc.setRemoteDescription({ type: "offer", sdp });
    pc.addTrack(sound.stream.getAudioTracks()[0], sound.stream);
    await pc.setLocalDescription();
    return gathered(pc);
  };

  /** RFC 8840's fragment as the change of the offer that it stands for. */
  window.restart = async (id, fragment) => {
    const { pc } = peers[id];
    const of = (name) => new RegExp(`a=${name}:.*`).exec(fragment)[0].trim();
    const sdp = pc.remoteDescription.sdp.replace(/a=ice-ufrag:.*/g, of("ice-ufrag")).replace(/a=ice-pwd:.*/g, of("ice-pwd"));
    await pc.setRemoteDescription({ type: "offer", sdp });
    await pc.setLocalDescription();
    return gathered(pc);
  };

  window.tell = (id, text) => {
    const peer = peers[id];
    if (peer.channel?.readyState === "open") peer.channel.send(text);
    else peer.waiting.push(text);
  };
  window.speak = (id, on) => {
    peers[id].gain.gain.value = on ? 0.3 : 0;
  };
  /** How loud the caller is, as the last packets say. */
  window.level = async (id) => {
    const stats = [...(await peers[id].pc.getStats()).values()];
    return stats.find((s) => s.type === "inbound-rtp")?.audioLevel ?? 0;
  };
  window.hangUp = (id) => peers[id]?.pc.close();
}
