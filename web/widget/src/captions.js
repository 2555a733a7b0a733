// The captions of both sides, as lines on the page. They are kept nowhere else.

class Captions {
  /** `says` is told what has newly been said, and by whom. */
  constructor(says) {
    this.says = says;
    this.spans = new Map();
    this.names = {};
    this.typing = h("li", { class: "line typing", "aria-hidden": "true", hidden: true }, h("i"), h("i"), h("i"));
    this.list = h("ol", { class: "log", tabindex: "0" }, this.typing);
  }

  /** One clause or utterance; the same `id` again replaces it: grown, corrected, or cut to what was heard. */
  take({ who, id, text, final = true }) {
    if (!["agent", "caller"].includes(who) || typeof text !== "string") return;
    const key = `${who}:${id}`;
    const follows = this.atEnd();
    let span = this.spans.get(key) ?? (who === "caller" ? this.adopt(text, id) : undefined);
    if (who === "caller") this.dropDrafts(key);
    if (!text.trim()) return void this.drop(key);
    const known = span !== undefined && !span.classList.contains("draft");
    span ??= this.line(who, id).appendChild(h("span"));
    this.spans.set(key, span);
    const draft = who === "caller" && !final;
    span.classList.toggle("draft", draft);
    write(span, `${text} `);
    if (!draft && !known) this.says(`${this.names[who]}: ${text}`);
    while (this.spans.size > CAPTIONS_MAX) this.drop(this.spans.keys().next().value);
    if (follows) this.scroll();
  }

  /** What was typed is shown at once; the gateway's own caption of it takes its place. */
  typed(text) {
    const line = this.line("caller");
    line.classList.add("pending");
    line.append(h("span", {}, text));
    this.scroll();
  }

  adopt(text, id) {
    const pending = [...this.list.querySelectorAll(".pending")];
    const same = (line) => line.lastChild.textContent.replace(/\s+/g, " ").trim() === text.trim();
    const line = pending.find(same);
    line?.classList.remove("pending");
    if (line) line.dataset.id = id;
    return line?.lastChild;
  }

  /** The line that speech adds to, in the order of ids: an agent's sentences stand together. */
  line(who, id = Infinity) {
    const later = [...this.list.children].find((line) => line === this.typing || Number(line.dataset.id) > id);
    const last = later.previousElementSibling;
    if (who === "agent" && last?.dataset.who === "agent") return last;
    const name = h("span", { class: "sr" }, `${this.names[who]}: `);
    const line = h("li", { class: `line ${who}`, "data-who": who, "data-id": id, lang: this.language }, name);
    this.list.insertBefore(line, later);
    return line;
  }

  drop(key) {
    const span = this.spans.get(key);
    this.spans.delete(key);
    const line = span?.parentElement;
    span?.remove();
    if (line && !line.querySelector("span:not(.sr)")) line.remove();
  }

  dropDrafts(but) {
    for (const [key, span] of this.spans) if (key !== but && span.classList.contains("draft")) this.drop(key);
  }

  clear() {
    this.spans.clear();
    this.list.replaceChildren(this.typing);
  }

  /** Who has scrolled back to read is left there. */
  atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.list;
    return scrollHeight - scrollTop - clientHeight < 120;
  }

  scroll() {
    requestAnimationFrame(() => {
      this.list.scrollTop = this.list.scrollHeight;
    });
  }
}
