// One conversation, whichever road it takes. It knows no page and keeps no words.

const TURNS = ["listening", "thinking", "speaking", "held"];

/**
 * Phases: idle, asking (for the microphone), denied, connecting, live, reconnecting, ended, failed. `shows` is told
 * `change`, `caption`, `notice` and `sound`.
 */
class Conversation {
  constructor(gateway, levels, shows) {
    this.gateway = gateway;
    this.levels = levels;
    this.shows = shows;
    this.attempt = 0;
    this.mic = new Microphone((track) => this.newMicrophone(track));
    this.store = `dauys ${gateway.base} ${gateway.agent}`;
    this.reset();
  }

  reset() {
    Object.assign(this, { phase: "idle", mode: "voice", turn: "listening", why: "" });
    Object.assign(this, { consent: null, answers: {}, kept: null, id: undefined, since: undefined });
    this.mic.mute(false);
  }

  set(changes) {
    if (changes.phase) this.slowAfter(changes.phase === "connecting" ? SLOW_MS : 0);
    Object.assign(this, changes);
    this.save();
    this.shows.change();
  }

  slowAfter(ms) {
    clearTimeout(this.slowTimer);
    this.slow = false;
    if (!ms) return;
    this.slowTimer = setTimeout(() => {
      this.slow = true;
      this.shows.change();
    }, ms);
  }

  /** What is known of the agent before the call; asked once, but with a token. */
  async about(token) {
    if (token || !this.asked) {
      this.asked = this.gateway.about(token);
      this.asked.catch(() => (this.asked = undefined));
    }
    this.agent = await this.asked;
    this.shows.change();
  }

  /** So long the gateway waits for a page that is not heard. */
  get reconnect_ms() {
    return (this.agent?.reconnect_s ?? RECONNECT_S) * 1000;
  }

  get active() {
    return ["asking", "connecting", "live", "reconnecting"].includes(this.phase);
  }

  /** Begins in this mode, or goes on in it: a conversation that runs is taken along. */
  async go(mode, resume = this.id) {
    const before = this.phase === "live" ? { road: this.road, mode: this.mode } : null;
    const attempt = ++this.attempt;
    let road;
    try {
      this.set({ phase: mode === "voice" ? "asking" : "connecting", mode });
      if (mode === "voice") await this.mic.open();
      if (attempt !== this.attempt) return this.abandon();
      this.set({ phase: "connecting" });
      const token = before ? undefined : await this.gateway.token();
      // With a token it also says by which relay we may go.
      if (token || !this.agent) await this.about(token);
      if (attempt !== this.attempt) return this.abandon();
      this.next = road = this.newRoad(mode);
      await this.openRoad(road, { resume, token });
      if (attempt !== this.attempt) return this.abandon();
      this.taken(road, before?.road);
    } catch (failure) {
      // What never began is taken back.
      if (resume) road?.leave();
      else road?.end();
      if (attempt === this.attempt) this.stayed(failure, before, resume);
      else this.abandon();
    }
  }

  /** The caller went another way meanwhile; the microphone must not stay on behind their back. */
  abandon() {
    if (!this.active || this.mode === "text") this.closeSound();
  }

  /** The new road is there: the old one is left without a word. */
  taken(road, old) {
    this.road = road;
    this.next = undefined;
    if (old !== road) old?.leave();
    if (this.mode === "text") this.closeSound();
    else this.levels.hear("caller", this.mic.stream);
    this.id = road.id ?? this.id;
    this.since ??= Date.now();
    this.set({ phase: "live" });
  }

  stayed(failure, before, resume) {
    const kind = failure.kind ?? "network";
    if (!failure.kind) console.error("Dauys:", failure);
    const mic = ["denied", "missing", "taken", "insecure"].includes(kind);
    this.next = undefined;
    if (resume && kind === "unknown") {
      this.over("ended");
    } else if (before) {
      this.set({ phase: "live", mode: before.mode });
      if (before.mode === "text") this.closeSound();
      this.shows.notice(mic ? "deniedShort" : kind);
      if (before.road.gone) this.recover();
    } else {
      this.closeSound();
      this.set({ phase: mic ? "denied" : "failed", why: kind });
    }
  }

  newRoad(mode) {
    const hears = {
      message: (data) => this.message(data),
      sound: (stream) => {
        this.levels.hear("agent", stream);
        this.shows.sound(stream);
      },
      down: (road, over) => {
        road.gone = true;
        if (road !== this.road || this.phase !== "live") return;
        if (over) this.over("ended");
        else this.recover();
      },
    };
    return mode === "voice" ? new VoiceRoad(this.gateway, hears) : new TextRoad(this.gateway, hears);
  }

  openRoad(road, { resume, token }) {
    const iceServers = this.agent?.ice_servers ?? [];
    return road.open({ track: this.mic.track, iceServers, resume, token });
  }

  /** The road broke: ICE anew, then a new road to the same conversation, until the gateway would have given up too. */
  async recover() {
    const attempt = ++this.attempt;
    this.set({ phase: "reconnecting" });
    const until = Date.now() + this.reconnect_ms;
    for (let blocked = 0; Date.now() < until; ) {
      try {
        const road = await this.mended(blocked);
        if (attempt !== this.attempt) return;
        this.taken(road, this.road);
        return;
      } catch (failure) {
        if (attempt !== this.attempt) return;
        if (failure.kind === "unknown") return void this.over("ended");
        if (failure.kind !== "network" || navigator.onLine) blocked += 1;
        await sleep(RETRY_MS);
        if (attempt !== this.attempt) return;
      }
    }
    this.over("lost");
  }

  async mended(blocked) {
    const { road } = this;
    if (this.mode === "voice" && blocked < 2) {
      await road.restart();
      return road;
    }
    const next = this.newRoad(this.mode);
    try {
      await this.openRoad(next, { resume: this.id });
    } catch (failure) {
      next.leave();
      throw failure;
    }
    return next;
  }

  // ---- what the gateway says

  message(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    const said = {
      hello: () => this.hello(message),
      state: () => this.set({ turn: TURNS.includes(message.state) ? message.state : this.turn }),
      caption: () => this.shows.caption(message),
      consent: () => this.set({ consent: { ...message, answered: false } }),
      consented: () => this.consented(message),
      ended: () => this.over("ended"),
      error: () => console.warn(`Dauys: ${message.text}`),
    };
    if (Object.hasOwn(said, message?.type)) said[message.type]();
  }

  hello({ resume, language }) {
    this.set({ id: resume ?? this.id, language: language ?? this.language });
  }

  /** Each scope is answered by itself; words and sound are what is kept. */
  consented({ scope = "transcript", granted }) {
    const answers = { ...this.answers, [scope]: Boolean(granted) };
    const ofKeeping = ["transcript", "audio"].filter((one) => one in answers);
    const kept = ofKeeping.length ? ofKeeping.some((one) => answers[one]) : null;
    // Another question may stand there by now.
    const consent = (this.consent?.scope ?? scope) === scope ? null : this.consent;
    this.set({ answers, kept, consent });
  }

  // ---- what the caller does

  answer(grant) {
    if (!this.consent || this.consent.answered) return;
    // To what was read, and to nothing newer.
    const { scope, policy_version } = this.consent;
    const sent = this.road?.send({ type: "consent", scope, grant, policy_version });
    if (sent) this.set({ consent: { ...this.consent, answered: true } });
    else this.shows.notice("notSent");
  }

  withdraw() {
    if (!this.road?.send({ type: "withdraw" })) this.shows.notice("notSent");
  }

  write(text) {
    return Boolean(this.road?.send({ type: "text", text }));
  }

  digit(digit) {
    this.road?.digit(digit);
  }

  mute(muted) {
    this.mic.mute(muted);
    this.set({});
  }

  newMicrophone(track) {
    if (!track) return this.shows.notice("micLost");
    this.road?.sender?.replaceTrack(track).catch(() => this.shows.notice("micLost"));
    this.levels.hear("caller", this.mic.stream);
    this.shows.notice("micNew", track.label);
  }

  /** The network is back: no need to wait until ICE finds out. */
  online() {
    if (this.phase === "live" && this.mode === "voice" && this.road.pc.connectionState !== "connected") this.recover();
  }

  /** What the browser knows already need not be waited for. */
  offline() {
    if (this.phase === "live") this.recover();
  }

  end() {
    this.next?.end();
    this.road?.end();
    this.over("ended");
  }

  over(why) {
    this.attempt += 1;
    this.road?.leave();
    this.road = this.next = this.since = this.id = undefined;
    this.closeSound();
    this.levels.close();
    this.set({ phase: "ended", why, consent: null, answers: {}, kept: null });
  }

  closeSound() {
    this.mic.close();
    this.levels.hear("caller", null);
    this.levels.hear("agent", null);
    this.shows.sound(null);
  }

  // ---- a page that is reloaded

  /** How to find the conversation again, for this tab; while it is looked at nothing, or a copy of it would take over. */
  save(left = document.visibilityState === "hidden") {
    const { id, mode, since, mic: { muted } } = this;
    try {
      if (id && this.active && left) {
        const until = Date.now() + this.reconnect_ms;
        sessionStorage.setItem(this.store, JSON.stringify({ id, mode, since, muted, until }));
      } else {
        sessionStorage.removeItem(this.store);
      }
    } catch {
      // A page without storage starts anew after a reload.
    }
  }

  /** Goes on with the conversation that this tab had before it was reloaded. Says whether there was one. */
  async restore() {
    let held = null;
    try {
      held = JSON.parse(sessionStorage.getItem(this.store) ?? "null");
      sessionStorage.removeItem(this.store);
    } catch {
      return false;
    }
    if (!held || Date.now() > held.until) return false;
    Object.assign(this, { id: held.id, since: held.since });
    this.mic.mute(Boolean(held.muted));
    // Nobody is asked for a microphone who did not press anything.
    const allowed = held.mode === "voice" && (await this.microphoneAllowed());
    this.go(allowed ? "voice" : "text", held.id).then(() => {
      if (held.mode === "voice" && this.mode === "text" && this.phase === "live") this.shows.notice("byVoice");
    });
    return true;
  }

  microphoneAllowed() {
    const asked = navigator.permissions?.query({ name: "microphone" }) ?? Promise.resolve({});
    return asked.then(({ state }) => state === "granted", () => false);
  }
}
