// A site of somebody else's for the browser's tests: a page with the widget's tag under a strict policy, and a backend that
// gets tokens from the gateway. It serves nothing of the gateway's.
import { createServer } from "node:http";

/** `token(origin)`: what the backend hands out. */
export async function site(port, gateway, token) {
  const socket = gateway.replace(/^http/, "ws");
  const policy = `default-src 'none'; script-src ${gateway}; connect-src 'self' ${gateway} ${socket}; base-uri 'none'`;
  const tag = `<script src="${gateway}/widget.js" data-agent="front-desk" data-token-url="/token" async></script>`;
  const page = `<!doctype html><html lang="en"><title>A site</title><main><h1>A site</h1></main>${tag}`;
  const server = createServer(async ({ url, method, headers }, response) => {
    const origin = `http://${headers.host}`;
    if (url === "/") response.setHeader("Content-Security-Policy", policy).setHeader("Content-Type", "text/html").end(page);
    else if (url === "/token" && method === "POST") response.end(JSON.stringify({ token: await token(origin) }));
    else response.writeHead(404).end();
  });
  await new Promise((done) => server.listen(port, "127.0.0.1", done));
  return { url: `http://localhost:${server.address().port}/`, close: () => server.closeAllConnections() ?? server.close() };
}

/** As a backend does it: one token for one conversation on a page of this origin. */
export async function newToken(gateway, origin) {
  const body = JSON.stringify({ agent: "front-desk", ttl_s: 60, origin });
  const headers = { Authorization: `Bearer ${process.env.API_TOKEN}`, "Content-Type": "application/json" };
  const response = await fetch(`${gateway}/api/v1/web/tokens`, { method: "POST", headers, body });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return (await response.json()).token;
}
