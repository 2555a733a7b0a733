// The button and its panel: shows a conversation, and hands what is pressed to it. It decides nothing.

/** The phases that have no conversation, but a choice. */
const CHOICES = ["idle", "denied", "failed", "ended"];

class Widget {
  constructor(options) {
    this.options = options;
    this.levels = new Levels();
    this.captions = new Captions((text) => this.announce(text));
    this.talk = new Conversation(new Gateway(options), this.levels, {
      change: () => this.render(),
      caption: (caption) => this.captions.take(caption),
      notice: (kind, more = "") => this.notice(this.t[kind] + more),
      sound: (stream) => this.play(stream),
    });
    this.build();
    this.render();
    this.listen();
    this.talk.restore().then((held) => {
      if (held || options.open) this.open({ focus: false });
    });
  }

  // ---- its parts

  build() {
    const { theme = "auto", side = "right" } = this.options;
    this.launcherText = h("span");
    this.launcherClock = h("span", { class: "clock", "aria-hidden": "true" });
    this.launcher = button("launcher", () => this.open(), icon("wave"), this.launcherText, this.launcherClock);
    this.launcher.setAttribute("aria-haspopup", "dialog");
    const dialog = { class: "panel", role: "dialog", "aria-labelledby": "title", hidden: true };
    this.panel = h("div", { ...dialog, onkeydown: (event) => this.pressed(event) });
    this.panel.append(...this.buildHead(), ...this.buildTalk(), this.buildConsent(), this.buildPad());
    this.panel.append(this.buildComposer(), this.buildControls(), this.buildFoot(), h("div", { class: "tail" }));
    this.spoken = h("div", { class: "sr", "aria-live": "polite" });
    this.audio = h("audio", { autoplay: true, playsinline: true });
    const region = { class: "root", role: "region", "data-theme": theme, "data-side": side };
    this.root = h("div", region, this.launcher, this.panel, this.spoken, this.audio);
    this.host = document.createElement("dauys-widget");
    this.shadow = this.host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    this.shadow.adoptedStyleSheets = [sheet];
    this.shadow.append(this.root);
    document.body.append(this.host);
  }

  buildHead() {
    this.title = h("h2", { id: "title" });
    this.sub = h("p", { class: "sub" });
    this.minimise = button("round", () => this.close(), icon("down"));
    this.noticeLine = h("p", { class: "notice", role: "status" });
    this.soundButton = button("button first sound", () => this.play(this.audio.srcObject), icon("sound"), h("span"));
    this.soundButton.hidden = true;
    const who = h("div", { class: "who" }, this.title, this.sub);
    return [h("div", { class: "head" }, who, this.minimise), this.noticeLine, this.soundButton];
  }

  buildTalk() {
    this.bars = BARS.map(() => h("i"));
    const core = h("div", { class: "core" }, ...this.bars, icon("micOff"));
    this.orb = h("div", { class: "orb", "aria-hidden": "true" }, core);
    this.stateLine = h("p", { class: "state" });
    this.hintLine = h("p", { class: "hint" });
    this.stateBox = h("div", {}, this.stateLine, this.hintLine);
    this.stage = h("div", { class: "stage" }, this.orb, this.stateBox);
    this.cardTitle = h("h3", { tabindex: "-1" });
    this.cardText = h("p", { class: "text" });
    this.cardNote = h("p", { class: "note" }, icon("mic"), h("span"));
    this.cardButtons = h("div", { class: "buttons" });
    this.cardPolicy = h("p", { class: "policy" });
    this.card = h("div", { class: "card" }, this.cardTitle, this.cardText, this.cardNote);
    this.card.append(this.cardButtons, this.cardPolicy);
    return [this.stage, this.card, this.captions.list];
  }

  buildConsent() {
    this.consentText = h("p", { id: "consent" });
    this.consentMore = h("p", { class: "more" });
    // Neither answer is made to look like the better one.
    this.yes = button("button", () => this.talk.answer(true));
    this.no = button("button", () => this.talk.answer(false));
    for (const choice of [this.yes, this.no]) choice.setAttribute("aria-describedby", "consent");
    const ask = h("div", { class: "ask" }, icon("shield"), this.consentText);
    const pair = h("div", { class: "pair" }, this.yes, this.no);
    this.consent = h("div", { class: "consent", role: "group", hidden: true }, ask, this.consentMore, pair);
    return this.consent;
  }

  buildPad() {
    const keys = [..."123456789*0#"].map((digit) => button("key", () => this.talk.digit(digit), digit));
    this.pad = h("div", { class: "pad", id: "pad", role: "group", hidden: true }, ...keys);
    return this.pad;
  }

  buildComposer() {
    const field = { type: "text", maxlength: TEXT_MAX, autocomplete: "off", enterkeyhint: "send" };
    this.input = h("input", { ...field, oninput: () => this.renderSend() });
    this.sendButton = h("button", { class: "round", type: "submit" }, icon("send"));
    this.composer = h("form", { class: "composer", onsubmit: (event) => this.send(event) }, this.input, this.sendButton);
    return this.composer;
  }

  buildControls() {
    const control = (picture, name, go) => button(`control ${name}`, go, h("span", { class: "disc" }, icon(picture)), h("span"));
    this.muteButton = control("mic", "mute", () => this.talk.mute(!this.talk.mic.muted));
    this.padButton = control("keys", "keys", () => this.togglePad());
    this.padButton.setAttribute("aria-controls", "pad");
    this.typeButton = control("type", "type", () => this.talk.go("text"));
    this.speakButton = control("mic", "speak", () => this.talk.go("voice"));
    this.endButton = control("end", "end", () => this.talk.end());
    this.controls = h("div", { class: "controls", role: "group" }, this.muteButton, this.padButton);
    this.controls.append(this.typeButton, this.speakButton, this.endButton);
    return this.controls;
  }

  buildFoot() {
    this.footText = h("span");
    this.withdraw = button("", () => this.talk.withdraw());
    this.foot = h("div", { class: "foot" }, icon("shield"), this.footText, this.withdraw);
    return this.foot;
  }

  listen() {
    const gone = (this.removed = new AbortController());
    const on = (target, name, heard) => target?.addEventListener(name, heard, { signal: gone.signal });
    on(window, "pagehide", () => this.talk.save(true));
    on(document, "visibilitychange", () => this.talk.save());
    on(window, "online", () => this.talk.online());
    on(window, "offline", () => this.talk.offline());
    on(window.visualViewport, "resize", () => this.fit());
    // Who went to the page beside is not called back.
    on(document, "pointerdown", (event) => (this.within &&= event.composedPath().includes(this.host)));
    this.full = matchMedia(FULL);
    on(this.full, "change", () => this.fit());
    this.clock = setInterval(() => this.renderClock(), 1000);
    this.fit();
  }

  /** Full-screen it ends above a keyboard on the screen. */
  fit() {
    const full = this.full.matches;
    const seen = full ? window.visualViewport : null;
    if (full) this.panel.setAttribute("aria-modal", "true");
    else this.panel.removeAttribute("aria-modal");
    this.panel.style.setProperty("--height", seen ? `${seen.height}px` : "");
    this.panel.style.setProperty("--top", seen ? `${seen.offsetTop}px` : "");
  }

  // ---- what a page may do

  open({ focus = true } = {}) {
    this.panel.hidden = false;
    if (!this.talk.agent) this.talk.about().catch(() => {});
    this.render();
    this.frame();
    this.captions.scroll();
    if (focus) this.focus();
  }

  close() {
    const within = this.shadow.activeElement;
    this.panel.hidden = true;
    this.render();
    if (within) this.launcher.focus();
  }

  start(mode) {
    this.open();
    if (!this.talk.active && !this.talk.id) {
      this.captions.clear();
      this.talk.reset();
    }
    return this.talk.go(mode);
  }

  remove() {
    if (this.talk.active) this.talk.end();
    clearInterval(this.clock);
    cancelAnimationFrame(this.drawing);
    this.removed.abort();
    this.host.remove();
  }

  // ---- shown

  get language() {
    const { language } = this.options;
    return languageOf(language, document.documentElement.lang, this.talk.agent?.language, navigator.language);
  }

  get t() {
    return WORDS[this.language];
  }

  render() {
    if (!this.root) return;
    const { talk, t } = this;
    const at = this.shadow.activeElement;
    const title = this.options.title ?? talk.agent?.name ?? t.title;
    const size = talk.active ? "tall" : "short";
    Object.assign(this.root.dataset, { phase: talk.phase, mode: talk.mode, look: this.look(), size });
    this.root.setAttribute("lang", this.language);
    this.root.setAttribute("aria-label", title);
    write(this.title, title);
    this.minimise.setAttribute("aria-label", t.minimise);
    show(this.launcher, this.panel.hidden);
    this.renderStage();
    this.renderCaptions();
    this.renderCard();
    this.renderConsent();
    this.renderComposer();
    this.renderControls();
    this.renderFoot();
    this.renderClock();
    this.renderFocus(at);
    this.tell();
  }

  /** What the orb looks like, and the key of what stands below it. */
  look() {
    const { phase, turn, mic } = this.talk;
    if (phase === "denied") return "muted";
    if (CHOICES.includes(phase)) return "idle";
    if (phase !== "live") return "waiting";
    return turn === "listening" && mic.muted ? "muted" : turn;
  }

  renderStage() {
    const { talk, t } = this;
    const word = talk.phase === "live" ? this.look() : talk.phase;
    const voice = talk.mode === "voice" && talk.active;
    show(this.stage, voice || CHOICES.includes(talk.phase));
    show(this.stateBox, voice);
    write(this.stateLine, t[word] ?? "");
    write(this.hintLine, t[talk.slow ? "slowHint" : `${word}Hint`] ?? "");
    const waits = talk.mode === "text" && talk.active && talk.phase !== "live";
    if (waits) this.notice(t[word], true);
    else if (this.noticeHeld) this.notice("");
    // What is spoken comes as a caption.
    if (voice && word !== "speaking") this.announceState(t[word]);
  }

  renderCaptions() {
    const { talk, t, captions } = this;
    captions.names = { agent: t.assistant, caller: t.you };
    captions.language = talk.language ?? talk.agent?.language;
    captions.list.setAttribute("aria-label", t.conversation);
    show(captions.list, talk.active && this.pad.hidden);
    show(captions.typing, talk.mode === "text" && talk.phase === "live" && talk.turn === "thinking");
  }

  /** The choice before, between and after conversations. */
  cardOf() {
    const { talk, t } = this;
    const { phase, why, agent, mode } = talk;
    const voice = agent?.voice !== false;
    const speak = { label: t.talk, picture: "mic", go: () => this.start("voice") };
    const type = { label: t.write, picture: "type", go: () => this.start("text") };
    if (phase === "idle") {
      const text = [agent?.disclosure ?? t.disclosure, agent?.keeps].filter(Boolean).join(" ");
      const lang = agent?.disclosure ? agent.language : this.language;
      return { title: t.how, text, lang, note: voice && t.micWhy, choices: voice ? [speak, type] : [type], policy: agent?.consent };
    }
    const card = { title: t[why], text: t[`${why}Hint`] };
    const same = mode === "text" ? type : speak;
    if (phase === "denied" || why === "blocked") return { ...card, choices: [type, { ...speak, label: t.again }] };
    if (phase === "failed") return { ...card, choices: [{ ...same, label: t.again }] };
    const other = mode === "text" ? speak : type;
    return { ...card, choices: [{ ...same, label: t.anew }, ...(voice ? [other] : [])] };
  }

  renderCard() {
    const shown = CHOICES.includes(this.talk.phase);
    show(this.card, shown);
    if (!shown) return;
    const { title, text, lang, note, choices, policy } = this.cardOf();
    write(this.cardTitle, title);
    write(this.cardText, text);
    this.cardText.lang = lang ?? this.language;
    show(this.cardNote, Boolean(note));
    write(this.cardNote.lastChild, note || "");
    show(this.cardPolicy, Boolean(policy?.policy_url));
    this.renderPolicy(this.cardPolicy, policy);
    // What has the focus is not made anew.
    const key = [this.talk.phase, ...choices.map((choice) => choice.label)].join("\n");
    if (this.cardKey === key) return;
    this.cardKey = key;
    this.notice("");
    const made = choices.map(({ label, picture, go }, at) =>
      button(at ? "button" : "button first", go, icon(picture), h("span", {}, label)),
    );
    this.cardButtons.replaceChildren(...made);
  }

  /** A link to the policy, with its version. */
  renderPolicy(line, consent, before = "") {
    const { t } = this;
    const { policy_url, policy_version } = consent ?? {};
    const key = JSON.stringify([policy_url, policy_version, before, t.policy]);
    if (line.dataset.key === key) return;
    line.dataset.key = key;
    const href = safeLink(policy_url);
    const parts = before ? [before, " "] : [];
    if (href) {
      const name = policy_version ? `${t.policy}, ${t.version} ${policy_version}` : t.policy;
      const aside = h("span", { class: "sr" }, ` (${t.newTab})`);
      parts.push(h("a", { href, target: "_blank", rel: "noopener" }, name, aside));
    }
    line.replaceChildren(...parts);
  }

  renderConsent() {
    const { talk, t } = this;
    const asked = talk.phase === "live" ? talk.consent : null;
    const fresh = asked && (this.consent.hidden || this.asked !== asked.text);
    this.asked = asked?.text;
    show(this.consent, Boolean(asked));
    if (!asked) return;
    const yes = ["transcript", "audio", undefined].includes(asked.scope) ? t.consentYes : t.yes;
    this.consent.setAttribute("aria-label", t.consent);
    write(this.consentText, asked.text);
    this.consentText.lang = talk.language ?? this.language;
    this.renderPolicy(this.consentMore, asked, talk.mode === "voice" ? t.consentVoice : "");
    write(this.yes, yes);
    write(this.no, t.consentNo);
    for (const choice of [this.yes, this.no]) choice.disabled = asked.answered;
    if (!fresh) return;
    this.announce(`${t.consent}: ${yes} / ${t.consentNo}`);
    this.captions.scroll();
  }

  renderComposer() {
    const { talk, t } = this;
    show(this.composer, talk.phase === "live" && talk.mode === "text");
    this.input.setAttribute("aria-label", t.message);
    this.input.placeholder = t.message;
    this.sendButton.setAttribute("aria-label", t.send);
    this.renderSend();
  }

  renderSend() {
    this.sendButton.disabled = !this.input.value.trim();
  }

  renderControls() {
    const { talk, t } = this;
    const live = talk.phase === "live";
    const voice = live && talk.mode === "voice";
    const { muted } = talk.mic;
    const set = (control, shown, label, long) => {
      show(control, shown);
      write(control.lastChild, label);
      if (long) control.setAttribute("aria-label", long);
      else control.removeAttribute("aria-label");
    };
    if (!voice) this.pad.hidden = true;
    show(this.controls, talk.active);
    this.controls.setAttribute("aria-label", t.controls);
    set(this.muteButton, voice, muted ? t.unmute : t.mute, muted ? t.unmuteLong : t.muteLong);
    this.muteButton.classList.toggle("on", muted);
    if (this.mutedShown !== muted) this.muteButton.firstChild.replaceChildren(icon(muted ? "micOff" : "mic"));
    this.mutedShown = muted;
    set(this.padButton, voice, t.keys);
    this.padButton.setAttribute("aria-expanded", String(!this.pad.hidden));
    this.padButton.classList.toggle("on", !this.pad.hidden);
    this.pad.setAttribute("aria-label", t.keys);
    set(this.typeButton, voice, t.type);
    set(this.speakButton, live && !voice && talk.agent?.voice !== false, t.speak);
    set(this.endButton, talk.active, t.end);
  }

  renderFoot() {
    const { talk, t } = this;
    show(this.foot, talk.active && talk.kept !== null);
    write(this.footText, talk.kept ? t.kept : t.unkept);
    show(this.withdraw, talk.kept === true);
    write(this.withdraw, t.withdraw);
  }

  renderClock() {
    const { talk, t } = this;
    const seconds = talk.since && talk.active ? Math.floor((Date.now() - talk.since) / 1000) : -1;
    const time = seconds < 0 ? "" : `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    write(this.sub, time ? `${t.ai} · ${time}` : t.ai);
    write(this.launcherText, talk.active ? t.back : (this.options.label ?? t.label));
    write(this.launcherClock, time);
  }

  /** Whose focus is in the panel keeps it there when what they were at goes away. */
  renderFocus(at) {
    const now = `${this.talk.phase} ${this.talk.mode}`;
    const went = at && (at.disabled || at.closest("[hidden]"));
    const lost = !this.shadow.activeElement && [document.body, this.host].includes(document.activeElement);
    const within = this.panel.contains(this.shadow.activeElement) || (this.within && lost);
    this.within = within && !this.panel.hidden;
    if (this.within && (went || now !== this.focused)) this.focus();
    this.focused = now;
  }

  focus() {
    const { phase, mode, active } = this.talk;
    const live = mode === "text" ? this.input : this.muteButton;
    const first = { idle: this.cardButtons.firstChild, live }[phase] ?? (active ? this.endButton : this.cardTitle);
    first.focus({ preventScroll: true });
    this.within = true;
  }

  // ---- said aside

  /** For those who do not see it. */
  announce(text) {
    this.spoken.append(h("p", {}, text));
    while (this.spoken.children.length > SPOKEN_MAX) this.spoken.firstChild.remove();
  }

  /** What passes quickly is not said. */
  announceState(text) {
    if (text === this.state) return;
    this.state = text;
    clearTimeout(this.saying);
    this.saying = setTimeout(() => this.announce(text), STATE_MS);
  }

  notice(text, held = false) {
    clearTimeout(this.noticeTimer);
    this.noticeHeld = held;
    const follows = this.captions.atEnd();
    write(this.noticeLine, text);
    if (follows) this.captions.scroll();
    if (text && !held) this.noticeTimer = setTimeout(() => this.notice(""), NOTICE_MS);
  }

  /** Tells the page around, without a word of what is said. */
  tell() {
    const { phase, mode, turn } = this.talk;
    const now = `${phase} ${mode} ${turn}`;
    if (now === this.told) return;
    this.told = now;
    this.host.dispatchEvent(new CustomEvent("dauys", { bubbles: true, detail: { phase, mode, turn } }));
  }

  // ---- pressed

  send(event) {
    event.preventDefault();
    const text = this.input.value.trim().slice(0, TEXT_MAX);
    if (!text) return;
    if (!this.talk.write(text)) return void this.notice(this.t.notSent);
    this.input.value = "";
    this.renderSend();
    this.captions.typed(text);
  }

  togglePad() {
    this.pad.hidden = !this.pad.hidden;
    this.render();
    if (this.pad.hidden) this.captions.scroll();
    (this.pad.hidden ? this.padButton : this.pad.firstChild).focus();
  }

  pressed(event) {
    if (event.key === "Escape") {
      event.stopPropagation();
      if (this.pad.hidden) this.close();
      else this.togglePad();
    } else if (event.key === "Tab" && this.full.matches) {
      this.keepInside(event);
    } else if (!this.pad.hidden && /^[0-9*#]$/.test(event.key)) {
      this.talk.digit(event.key);
    }
  }

  /** Full-screen, the page behind cannot be seen: the focus goes round in the panel. */
  keepInside(event) {
    const all = this.panel.querySelectorAll("button, input, a[href], [tabindex='0']");
    const stops = [...all].filter((stop) => stop.checkVisibility() && !stop.disabled);
    const edge = event.shiftKey ? stops[0] : stops.at(-1);
    if (this.shadow.activeElement !== edge) return;
    event.preventDefault();
    (event.shiftKey ? stops.at(-1) : stops[0]).focus();
  }

  // ---- sound

  play(stream) {
    this.audio.srcObject = stream;
    show(this.soundButton, false);
    if (!stream) return;
    // A page that was reloaded may not make a sound before it is touched.
    this.audio.play().catch(() => {
      write(this.soundButton.lastChild, this.t.sound);
      show(this.soundButton, this.audio.srcObject !== null);
    });
  }

  /** Draws both levels, while the panel is to be seen. */
  frame() {
    cancelAnimationFrame(this.drawing);
    if (this.panel.hidden) return;
    this.drawing = requestAnimationFrame(() => this.frame());
    const { look } = this.root.dataset;
    const who = { listening: "caller", speaking: "agent" }[look];
    const bands = this.levels.bars(who);
    const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
    this.orb.style.setProperty("--level", mean(bands).toFixed(3));
    // The lowest band in the middle: a voice looks even.
    [4, 1, 0, 2, 3].forEach((band, at) => this.bars[at].style.setProperty("--h", who ? bands[band].toFixed(3) : ""));
    const mine = this.talk.mic.muted ? 0 : mean(this.levels.bars("caller"));
    this.muteButton.firstChild.style.setProperty("--mic", mine.toFixed(3));
  }
}

/** Only what opens as a page: a policy's address is text that came over the wire. */
function safeLink(text) {
  if (!text) return null;
  try {
    const url = new URL(text, location.href);
    return ["https:", "http:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}
