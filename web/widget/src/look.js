// The look: icons, styles, and the making of elements. It sets no inline style, so a strict policy allows it.

/** Strokes on a field of 24 by 24; `end` and `wave` are filled. */
const ICONS = {
  mic: "M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3zM5.5 11a6.5 6.5 0 0 0 13 0M12 17.5V21",
  micOff: "M9 9v2a3 3 0 0 0 4.7 2.5M15 10.6V6a3 3 0 0 0-5.8-1M5.5 11a6.5 6.5 0 0 0 10.3 5.3M18.5 11a6.4 6.4 0 0 1-.5 2.5M12 17.5V21M4 4l16 16",
  keys: "M6 5h.01M12 5h.01M18 5h.01M6 12h.01M12 12h.01M18 12h.01M6 19h.01M12 19h.01M18 19h.01",
  type: "M4 20l1-4.2L15.8 5a2.1 2.1 0 0 1 3 3L8.2 18.9zM13.5 7.5l3 3",
  end: "M12 8.6c-3.5 0-6.8 1-9.2 2.8-.7.5-.9 1.5-.5 2.2l1.2 2.1c.4.7 1.2 1 1.9.7l2.7-1.1c.6-.3 1-.9.9-1.5l-.1-1.9c2-.6 4.2-.6 6.2 0l-.1 1.9c0 .6.3 1.2.9 1.5l2.7 1.1c.7.3 1.5 0 1.9-.7l1.2-2.1c.4-.7.2-1.7-.5-2.2A15.4 15.4 0 0 0 12 8.6z",
  send: "M12 19V5.5M6 11.5l6-6 6 6",
  down: "M6 9.5l6 6 6-6",
  sound: "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11",
  shield: "M12 3l7 2.8v5.4c0 4.3-2.9 7.8-7 9.8-4.1-2-7-5.5-7-9.8V5.8zM9 11.8l2.2 2.2 4-4.2",
  wave: "M3 10h2v4H3zM7 7h2v10H7zM11 4h2v16h-2zM15 7h2v10h-2zM19 10h2v4h-2z",
};

const LIGHT = `
  --surface: var(--dauys-surface, #ffffff); --ink: var(--dauys-ink, #12222b); --soft: var(--dauys-soft, #52646f);
  --line: #dde6ea; --field: #8397a2; --accent: var(--dauys-accent, #0b6e6e);
    --on-accent: var(--dauys-on-accent, #ffffff);
  --danger: #b42318; --alarm: #b42318; --shade: 0 1px 2px rgb(16 34 43 / .08), 0 18px 48px -8px rgb(16 34 43 / .28);
    color-scheme: light;`;
const DARK = `
  --surface: var(--dauys-surface-dark, #131c23); --ink: var(--dauys-ink-dark, #eaf1f4);
    --soft: var(--dauys-soft-dark, #a6b8c2);
  --line: #2b3943; --field: #6f8591; --accent: var(--dauys-accent-dark, #63d2c6);
    --on-accent: var(--dauys-on-accent-dark, #04211f);
  --danger: #d0453a; --alarm: #ff8a7a; --shade: 0 1px 2px rgb(0 0 0 / .5), 0 18px 48px -8px rgb(0 0 0 / .7); color-scheme: dark;`;

const STYLE = `
  :host { all: initial; }
  *, *::before, *::after { box-sizing: border-box; }
  h2, h3, p, ol { margin: 0; padding: 0; font: inherit; }
  [hidden] { display: none !important; }
  button, input { font: inherit; color: inherit; }
  button { border: 0; background: none; padding: 0; cursor: pointer; -webkit-tap-highlight-color: transparent; }
  :focus { outline: none; }
  :focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
  svg {
    width: 22px; height: 22px; fill: none; stroke: currentColor; stroke-width: 1.9; stroke-linecap: round;
    stroke-linejoin: round; flex: none;
  }
  svg.filled { fill: currentColor; stroke-width: .6; }
  svg.dots { stroke-width: 3.4; }
  .sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
  .root {
    ${LIGHT} --gap: var(--dauys-gap, 20px); --radius: var(--dauys-radius, 24px); --z: var(--dauys-z, 2147483000);
    --tint: color-mix(in srgb, var(--accent) 8%, var(--surface));
    --deep: color-mix(in srgb, var(--accent) 16%, var(--surface));
    --glow: color-mix(in oklab, var(--accent) 72%, #fff);
    font: 400 16px/1.45 var(--dauys-font, -apple-system, BlinkMacSystemFont, "Segoe UI", Inter, Roboto, system-ui, sans-serif);
    color: var(--ink); -webkit-font-smoothing: antialiased; text-align: left;
  }
  @supports (color: oklch(from red l c h)) {
    .root { --glow: oklch(from var(--accent) calc(l + .16) calc(c + .02) calc(h - 8)); }
  }
  .root[data-theme="dark"] { ${DARK} }
  @media (prefers-color-scheme: dark) { .root:not([data-theme="light"]) { ${DARK} } }
  .launcher {
    position: fixed; z-index: var(--z); bottom: calc(var(--gap) + env(safe-area-inset-bottom));
    inset-inline-end: var(--gap); display: flex; align-items: center; gap: 10px; min-height: 56px;
    max-width: calc(100vw - 2 * var(--gap)); padding: 0 22px 0 18px; border-radius: 28px; background: var(--accent);
    color: var(--on-accent); font-weight: 600; box-shadow: var(--shade);
    transition: transform .18s ease, box-shadow .18s ease;
  }
  .root[data-side="left"] .launcher { inset-inline: var(--gap) auto; }
  .launcher:hover { transform: translateY(-2px); }
  .launcher:focus-visible { outline-color: var(--ink); }
  .launcher .clock { font-variant-numeric: tabular-nums; opacity: .92; font-weight: 500; }
  .panel {
    position: fixed; z-index: var(--z); bottom: calc(var(--gap) + env(safe-area-inset-bottom));
    inset-inline-end: var(--gap); display: flex; flex-direction: column;
    width: min(400px, calc(100vw - 2 * var(--gap))); max-height: min(680px, calc(100vh - 2 * var(--gap)));
    overflow: hidden; border: 1px solid var(--line); border-radius: var(--radius); background: var(--surface);
    box-shadow: var(--shade); animation: rise .24s cubic-bezier(.2, .8, .3, 1);
  }
  .root[data-size="tall"] .panel { height: 680px; }
  .root[data-side="left"] .panel { inset-inline: var(--gap) auto; }
  .panel::before {
    content: ""; position: absolute; inset: 0 0 auto; height: 300px; pointer-events: none;
    background: radial-gradient(110% 100% at 50% 0, var(--deep), transparent 72%);
  }
  .panel > * { position: relative; }
  @keyframes rise { from { opacity: 0; transform: translateY(14px) scale(.985); } }
  .head { display: flex; align-items: center; gap: 12px; padding: 14px 12px 6px 20px; }
  .head h2 {
    font-size: 16px; font-weight: 650; line-height: 1.25; overflow: hidden; text-overflow: ellipsis;
    white-space: nowrap;
  }
  .head .who { flex: 1; min-width: 0; }
  .head .sub { font-size: 13px; color: var(--soft); font-variant-numeric: tabular-nums; }
  .round { display: grid; place-items: center; width: 44px; height: 44px; border-radius: 50%; color: var(--soft); }
  .round:hover { background: var(--deep); color: var(--ink); }
  .notice {
    margin: 4px 16px 0; padding: 9px 14px; border-radius: 14px; background: var(--deep); font-size: 14px;
    text-align: center;
  }
  .notice:empty { display: none; }
  .stage {
    display: flex; flex-direction: column; align-items: center; padding: 14px 20px 10px; text-align: center;
    flex: none;
  }
  .orb { --level: 0; position: relative; width: 96px; height: 96px; margin: 14px 0 26px; flex: none; }
  .orb::before, .orb::after {
    content: ""; position: absolute; inset: -8px; border-radius: 50%; background: var(--accent); opacity: .13;
    transform: scale(calc(.95 + var(--level) * .16)); transition: transform .09s linear, opacity .3s;
  }
  .orb::after { inset: -17px; opacity: .07; transform: scale(calc(.94 + var(--level) * .2)); }
  .core {
    position: absolute; inset: 0; z-index: 1; display: flex; align-items: center; justify-content: center; gap: 6px;
    border-radius: 50%; background: var(--accent); color: var(--on-accent); transition: background .3s, color .3s;
    background: radial-gradient(circle at 30% 20%, var(--glow), var(--accent) 68%);
  }
  .core i {
    width: 7px; height: calc(7px + var(--h, 0) * 44px); border-radius: 4px; background: currentColor;
    transition: height .09s linear;
  }
  .stage .state { font-size: 19px; font-weight: 650; line-height: 1.3; }
  .stage .hint { font-size: 14px; color: var(--soft); }
  .root[data-look="listening"] .core {
    background: var(--surface); color: var(--accent); box-shadow: inset 0 0 0 3px var(--accent);
  }
  .root[data-look="muted"] .core, .root[data-look="held"] .core {
    background: var(--surface); color: var(--soft); box-shadow: inset 0 0 0 3px var(--field);
  }
  .root[data-look="muted"] .orb::before, .root[data-look="held"] .orb::before { background: var(--field); }
  .root[data-look="muted"] .orb::after, .root[data-look="held"] .orb::after { opacity: 0; }
  .core svg { display: none; width: 40px; height: 40px; }
  .root[data-look="muted"] .core svg { display: block; }
  .root[data-look="muted"] .core i { display: none; }
  .root[data-look="thinking"] .core i, .root[data-look="waiting"] .core i {
    animation: wait 1.2s ease-in-out infinite;
  }
  .root[data-look="idle"] .orb { animation: breathe 4.5s ease-in-out infinite; }
  .root[data-look="idle"] .core i { --h: .16; }
  .root[data-look="idle"] .core i:nth-of-type(2n) { --h: .42; }
  .root[data-look="idle"] .core i:nth-of-type(3) { --h: .7; }
  .core i:nth-of-type(2) { animation-delay: .12s !important; }
  .core i:nth-of-type(3) { animation-delay: .24s !important; }
  .core i:nth-of-type(4) { animation-delay: .36s !important; }
  .core i:nth-of-type(5) { animation-delay: .48s !important; }
  @keyframes wait {
    0%, 60%, 100% { transform: none; opacity: .55; }
    30% { transform: translateY(-8px); opacity: 1; }
  }
  @keyframes breathe { 50% { transform: scale(1.035); } }
  .card {
    display: flex; flex-direction: column; gap: 10px; padding: 4px 24px 20px; text-align: center; overflow-y: auto;
    flex: 0 1 auto;
  }
  .card h3 { font-size: 21px; font-weight: 680; line-height: 1.25; letter-spacing: -.01em; text-wrap: balance; }
  .card .text { color: var(--soft); text-wrap: pretty; }
  .card .note {
    display: flex; gap: 12px; margin-top: 6px; padding: 12px 14px; border-radius: 16px; background: var(--tint);
    text-align: left; text-wrap: pretty; font-size: 14px; color: var(--soft);
  }
  .card .note svg { color: var(--accent); margin-top: 1px; }
  .buttons { display: flex; flex-direction: column; gap: 10px; margin-top: 10px; }
  .button {
    display: flex; align-items: center; justify-content: center; gap: 10px; min-height: 52px; padding: 6px 18px;
    border-radius: 17px; font-weight: 620; background: var(--deep); color: var(--ink);
    transition: filter .15s, background .15s;
  }
  .button:hover { filter: brightness(.96); }
  .button.first { background: var(--accent); color: var(--on-accent); }
  .button.first:hover { filter: brightness(1.08); }
  .button[disabled] { opacity: .55; cursor: default; }
  a { color: var(--accent); font-weight: 560; text-underline-offset: 3px; border-radius: 4px; }
  .card .policy { font-size: 13.5px; margin-top: 4px; }
  .log {
    flex: 1 1 0; min-height: 76px; overflow-y: auto; overscroll-behavior: contain; margin: 4px 0 0;
    padding: 14px 18px 10px; list-style: none; display: flex; flex-direction: column; gap: 8px; outline-offset: -4px;
    border-radius: 12px; -webkit-mask-image: linear-gradient(transparent, #000 16px);
    mask-image: linear-gradient(transparent, #000 16px);
  }
  .log > :first-child { margin-top: auto; }
  .line {
    max-width: 86%; padding: 9px 14px; border-radius: 18px 18px 18px 6px; background: var(--tint);
    align-self: flex-start; font-size: 15px; overflow-wrap: anywhere; text-wrap: pretty; animation: appear .2s ease-out;
  }
  .line.caller {
    align-self: flex-end; border-radius: 18px 18px 6px 18px; background: var(--accent); color: var(--on-accent);
  }
  .line .draft { opacity: .82; font-style: italic; }
  .line.pending span { opacity: .86; }
  .typing { display: flex; gap: 5px; padding: 14px; }
  .typing i { width: 7px; height: 7px; border-radius: 50%; background: var(--soft); animation: wait 1.2s infinite; }
  .typing i:nth-child(2) { animation-delay: .15s; }
  .typing i:nth-child(3) { animation-delay: .3s; }
  @keyframes appear { from { opacity: 0; transform: translateY(6px); } }
  .consent {
    margin: 6px 14px 4px; padding: 14px 16px 16px; border: 1.5px solid var(--accent); border-radius: 20px;
    background: var(--surface); flex: none; animation: appear .24s ease-out; max-height: 60%; overflow-y: auto;
  }
  .consent .ask { display: flex; gap: 12px; font-size: 15px; }
  .consent .ask svg { color: var(--accent); margin-top: 1px; }
  .consent .more { margin: 4px 0 13px 34px; font-size: 13px; color: var(--soft); }
  .consent .more a { display: block; width: fit-content; margin-top: 2px; }
  .consent .pair { display: grid; grid-template-columns: 1fr 1fr; gap: 10px; }
  .consent .button { min-height: 46px; border-radius: 15px; }
  .pad {
    flex: 1 1 auto; display: grid; grid-template-columns: repeat(3, 76px); justify-content: center;
    align-content: center; gap: 10px; padding: 8px;
  }
  .key { min-height: 54px; border-radius: 18px; background: var(--tint); font-size: 22px; font-weight: 560; }
  .key:hover { background: var(--deep); }
  .key:active { background: var(--accent); color: var(--on-accent); }
  .composer { display: flex; gap: 8px; padding: 8px 14px 4px; flex: none; }
  .composer input {
    flex: 1; min-width: 0; min-height: 48px; padding: 0 18px; border: 1px solid var(--field); border-radius: 24px;
    background: var(--surface);
  }
  .composer input::placeholder { color: var(--soft); opacity: 1; }
  .composer input:focus-visible { outline-offset: 0; border-color: transparent; }
  .composer .round { width: 48px; height: 48px; background: var(--accent); color: var(--on-accent); }
  .composer .round[disabled] { background: var(--deep); color: var(--soft); cursor: default; }
  .controls { display: flex; justify-content: center; gap: 6px; padding: 10px 12px 14px; flex: none; }
  .control {
    display: flex; flex-direction: column; align-items: center; gap: 6px; width: 84px; border-radius: 16px;
    padding: 2px 0; font-size: 13px; color: var(--soft);
  }
  .disc {
    --mic: 0; display: grid; place-items: center; width: 52px; height: 52px; border-radius: 50%;
    background: var(--deep); color: var(--ink);
    box-shadow: 0 0 0 calc(var(--mic) * 7px) color-mix(in srgb, var(--accent) 45%, transparent);
    transition: background .15s;
  }
  .control:hover .disc { filter: brightness(.95); }
  .control.on .disc { background: var(--ink); color: var(--surface); }
  .control.end .disc { background: var(--danger); color: #fff; }
  .root[data-mode="text"] .controls { gap: 8px; padding: 6px 14px 14px; }
  .root[data-mode="text"] .control {
    flex: 1 1 0; flex-direction: row; justify-content: center; gap: 8px; width: auto; min-height: 44px;
    padding: 0 14px; background: var(--tint); color: var(--ink); font-size: 14px; font-weight: 560;
  }
  .root[data-mode="text"] .control:hover { background: var(--deep); }
  .root[data-mode="text"] .disc { width: auto; height: auto; background: none; box-shadow: none; }
  .root[data-mode="text"] .disc svg { width: 20px; height: 20px; color: var(--accent); }
  .root[data-mode="text"] .end .disc svg { color: var(--alarm); }
  .foot {
    display: flex; align-items: center; justify-content: center; gap: 7px; padding: 0 16px 12px; font-size: 13px;
    color: var(--soft); flex: none;
  }
  .foot svg { width: 16px; height: 16px; }
  .foot button {
    text-decoration: underline; text-underline-offset: 3px; font-weight: 560; min-height: 24px; border-radius: 4px;
  }
  .tail { padding-bottom: env(safe-area-inset-bottom); }
  @media (max-width: 520px), (max-height: 460px) {
    .root[data-size] .panel {
      inset: var(--top, 0) 0 auto; width: 100%; height: var(--height, 100dvh); max-height: none; border: 0;
      border-radius: 0; padding: env(safe-area-inset-top) env(safe-area-inset-right) 0 env(safe-area-inset-left);
    }
    .stage { padding-top: 3vh; }
    .card { padding-inline: 22px; }
  }
  @media (max-height: 640px) {
    .orb { width: 72px; height: 72px; margin: 8px 0 18px; }
    .orb::after { inset: -13px; }
    .core { gap: 4px; }
    .core i { width: 5px; height: calc(5px + var(--h, 0) * 30px); }
    .root[data-size="tall"] .stage { flex-direction: row; gap: 20px; padding: 0 20px 6px 24px; text-align: start; }
    .root[data-size="tall"] .orb { width: 44px; height: 44px; margin: 8px 0; }
    .root[data-size="tall"] .core { gap: 3px; }
    .root[data-size="tall"] .core i { width: 3px; height: calc(3px + var(--h, 0) * 20px); }
    .root[data-size="tall"] .core svg { width: 22px; height: 22px; }
    .consent { max-height: 50%; padding: 10px 14px 12px; }
    .consent .more { margin-bottom: 8px; }
    .controls { padding: 6px 12px 8px; }
    .disc { width: 46px; height: 46px; }
    .control { gap: 3px; }
    .pad { gap: 6px; }
    .key { min-height: 44px; }
  }
  @media (max-height: 600px) and (max-width: 520px) {
    .root[data-size="short"] .stage { display: none; }
    .card { padding-top: 12px; }
  }
  /* Low and wide: what is said stands beside what is pressed. */
  @media (max-height: 460px) and (min-width: 521px) {
    .panel {
      display: grid; grid-template: auto auto auto 1fr auto auto / minmax(250px, 40%) minmax(0, 1fr);
    }
    .panel > * { grid-column: 1; }
    .stage { grid-row: 4; align-self: center; padding-top: 0; }
    .controls { grid-row: 5; align-self: end; }
    .foot { grid-row: 6; }
    .log { grid-area: 1 / 2 / 5 / 3; margin: 0; }
    .log:has(+ .consent[hidden]) { grid-row-end: 6; }
    .root[data-mode="voice"] .log:has(+ .consent[hidden]) { grid-row-end: -1; }
    .consent { grid-area: 5 / 2; max-height: 60vh; align-self: end; }
    .composer { grid-area: 6 / 2; padding-bottom: 12px; }
    .card, .pad { grid-area: 1 / 2 / -1 / 3; align-self: center; max-height: 100%; }
    .pad { grid-template-columns: repeat(3, 64px); }
    .card { padding-block: 16px; }
  }
  @media (prefers-reduced-motion: reduce) {
    *, *::before, *::after { animation: none !important; transition: none !important; }
    .orb::before, .orb::after { transform: none; }
  }
  @media (forced-colors: active) {
    .panel, .launcher, .button, .key, .disc, .line, .notice, .core, .composer .round { border: 1px solid; }
    .core i, .typing i { background: CanvasText; }
    .orb::before, .orb::after, .panel::before { display: none; }
    .control.on .disc { background: Highlight; color: HighlightText; forced-color-adjust: none; }
  }
`;

const FULL = "(max-width: 520px), (max-height: 460px)";

function h(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value !== false && value !== undefined) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.toggle("filled", ["end", "wave"].includes(name));
  svg.classList.toggle("dots", name === "keys");
  return svg;
}

function button(name, go, ...children) {
  return h("button", { class: name, type: "button", onclick: go }, ...children);
}

const show = (element, shown) => {
  element.hidden = !shown;
};
const write = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};
