// The microphone while it is wanted, and how loud both sides are. No sound is kept.

const MIC_KINDS = {
  NotAllowedError: "denied",
  SecurityError: "denied",
  NotFoundError: "missing",
  OverconstrainedError: "missing",
};

/** The microphone while it is wanted: mute, and another device when the one in use goes or the default changes. */
class Microphone {
  constructor(changed) {
    this.changed = changed;
    this.muted = false;
    this.follow = () => {
      clearTimeout(this.soon);
      this.soon = setTimeout(() => this.check(), 300);
    };
  }

  get stream() {
    return this.track ? new MediaStream([this.track]) : null;
  }

  async open() {
    if (!this.track || this.track.readyState === "ended") await this.take();
    navigator.mediaDevices.addEventListener("devicechange", this.follow);
    return this.track;
  }

  async take() {
    if (!navigator.mediaDevices?.getUserMedia) throw new Failure("insecure");
    const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio });
    } catch (error) {
      throw new Failure(MIC_KINDS[error.name] ?? "taken");
    }
    this.track?.stop();
    [this.track] = stream.getAudioTracks();
    this.track.enabled = !this.muted;
    this.track.onended = this.follow;
    this.group = await this.defaultGroup();
  }

  /** Which machine is behind "default", and whether the one in use is there at all. */
  async defaultGroup() {
    const devices = (await navigator.mediaDevices.enumerateDevices()).filter((d) => d.kind === "audioinput");
    const used = this.track?.getSettings().deviceId;
    return devices.find((d) => d.deviceId === used)?.groupId;
  }

  async check() {
    if (!this.track) return;
    const group = await this.defaultGroup();
    if (this.track.readyState === "live" && group === this.group) return;
    await this.take().then(
      () => this.changed(this.track),
      () => this.changed(null),
    );
  }

  mute(muted) {
    this.muted = muted;
    if (this.track) this.track.enabled = !muted;
  }

  close() {
    clearTimeout(this.soon);
    navigator.mediaDevices?.removeEventListener("devicechange", this.follow);
    this.track?.stop();
    this.track = null;
  }
}

/** How loud two streams are, in five bands. */
class Levels {
  constructor() {
    this.ears = new Map();
    this.bins = new Uint8Array(128);
  }

  hear(name, stream) {
    this.ears.get(name)?.source.disconnect();
    this.ears.delete(name);
    if (!stream || !window.AudioContext) return;
    this.context ??= new AudioContext();
    this.context.resume().catch(() => {});
    const source = this.context.createMediaStreamSource(stream);
    const scale = { fftSize: 256, smoothingTimeConstant: 0.7, minDecibels: -78, maxDecibels: -28 };
    const analyser = new AnalyserNode(this.context, scale);
    source.connect(analyser);
    this.ears.set(name, { source, analyser });
  }

  /** 0 to 1 for each band. */
  bars(name) {
    const ear = this.ears.get(name);
    if (!ear) return BARS.map(() => 0);
    ear.analyser.getByteFrequencyData(this.bins);
    return BARS.map(([from, to]) => {
      let sum = 0;
      for (let bin = from; bin <= to; bin++) sum += this.bins[bin];
      return sum / (to - from + 1) / 255;
    });
  }

  close() {
    this.context?.close().catch(() => {});
    this.context = undefined;
    this.ears.clear();
  }
}
