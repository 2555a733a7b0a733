// How the widget comes onto a page: by the script's tag, or by `Dauys.mount`. It touches nothing else there.

/** `agent` and `gateway` are needed; the rest as the attributes of the script tag. */
function mount(options) {
  if (!options?.agent || !options.gateway) throw new TypeError("Dauys.mount: name the agent and the gateway's address");
  const widget = new Widget(options);
  return {
    element: widget.host,
    open: () => widget.open(),
    close: () => widget.close(),
    start: (mode = "voice") => widget.start(mode),
    end: () => widget.talk.active && widget.talk.end(),
    remove: () => widget.remove(),
  };
}

window.Dauys = { mount };

const tag = document.currentScript;
if (tag?.dataset.agent) {
  const { agent, language, title, label, theme, side, tokenUrl, gateway, open } = tag.dataset;
  const place = gateway ?? new URL(".", tag.src).href;
  const options = { agent, language, title, label, theme, side, tokenUrl, gateway: place, open: open !== undefined };
  const begin = () => {
    window.Dauys.widget = mount(options);
  };
  if (document.body) begin();
  else document.addEventListener("DOMContentLoaded", begin, { once: true });
}
