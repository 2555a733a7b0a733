// What the widget asks a gateway over HTTP, and why that can fail. It holds no conversation.

const REQUEST_MS_MAX = 10_000;
const CONNECT_MS_MAX = 12_000;
/** Where a network went away, what was asked may never be answered: it is soon asked again. */
const MEND_MS_MAX = 4_000;
/** A short loss mends itself; after this ICE is restarted. */
const GRACE_MS = 1_500;
/** Who waits longer is told that it is long. */
const SLOW_MS = 4_000;
const RETRY_MS = 1_000;
const RECONNECT_S = 20;
const NOTICE_MS = 7_000;
/** A state that lasts less is not told to who listens to the page. */
const STATE_MS = 700;
const TEXT_MAX = 500;
const CAPTIONS_MAX = 200;
const SPOKEN_MAX = 8;
const BARS = [[1, 2], [3, 4], [5, 7], [8, 12], [13, 20]];

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Why something did not work; its kind is a key of WORDS. */
class Failure extends Error {
  constructor(kind) {
    super(kind);
    this.kind = kind;
  }
}

const KINDS = { 401: "refused", 403: "refused", 404: "unknown", 410: "unknown", 429: "busy", 503: "busy" };

async function request(url, { msMax = REQUEST_MS_MAX, ...options } = {}) {
  let response;
  const signal = AbortSignal.timeout(msMax);
  try {
    response = await fetch(url, { credentials: "omit", cache: "no-store", signal, ...options });
  } catch {
    // A browser does not tell a page which it was.
    console.warn(`Dauys: no answer from ${new URL(url).origin}; is ${location.origin} among its [web] origins?`);
    throw new Failure("network");
  }
  if (response.ok) return response;
  const why = await response.json().then((body) => body.error, () => "");
  console.warn(`Dauys: ${response.status} ${why}`);
  throw new Failure(KINDS[response.status] ?? "network");
}

/** What the widget asks a gateway over HTTP; RFC 9725 (WHIP) for calls. */
class Gateway {
  constructor({ gateway, agent, tokenUrl }) {
    this.base = new URL(gateway, location.href);
    this.agent = agent;
    this.tokenUrl = tokenUrl;
  }

  /** Below the widget's own address, so that a proxy may put the gateway under any path. */
  url(path, query = {}) {
    const url = new URL(path.map(encodeURIComponent).join("/"), this.base);
    for (const [name, value] of Object.entries(query)) if (value) url.searchParams.set(name, value);
    return url;
  }

  async about(token) {
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    return (await request(this.url(["web", "v1", "agents", this.agent]), { headers })).json();
  }

  /** From the site's own backend, for one conversation; none where the gateway asks for none. */
  async token() {
    if (!this.tokenUrl) return undefined;
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify({ agent: this.agent });
    const asked = { method: "POST", credentials: "same-origin", headers, body };
    return (await (await request(new URL(this.tokenUrl, location.href), asked)).json()).token;
  }

  /** The answer, and the id by which the conversation is found again. */
  async offer(sdp, { resume, token }) {
    const headers = { "Content-Type": "application/sdp" };
    if (token && !resume) headers.Authorization = `Bearer ${token}`;
    const url = this.url(["whip", this.agent], { resume });
    const msMax = resume ? MEND_MS_MAX : REQUEST_MS_MAX;
    const response = await request(url, { method: "POST", headers, body: sdp, msMax });
    const id = response.headers.get("Location")?.split("/").pop();
    return { answer: await response.text(), id };
  }

  async restart(id, fragment) {
    // RFC 9725 4.3.3: a restart matches whatever came before it.
    const headers = { "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*" };
    const asked = { method: "PATCH", headers, body: fragment, msMax: MEND_MS_MAX };
    return (await request(this.url(["whip", this.agent, id]), asked)).text();
  }

  async end(id) {
    await request(this.url(["whip", this.agent, id]), { method: "DELETE", keepalive: true });
  }

  /** A browser sets no header on a WebSocket. */
  chatUrl({ resume, token }) {
    return this.url(["chat", this.agent], resume ? { resume } : { token });
  }

  chat(which) {
    const url = this.chatUrl(which);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    return new WebSocket(url);
  }

  /** Why a WebSocket did not open: a browser does not tell, but the same address does when it is read. */
  noChat(which) {
    return request(this.chatUrl(which)).then(() => new Failure("network"), (failure) => failure);
  }
}
