// Preloaded into the conformance suite, which cannot be told to send a header: adds the client's key to every request
// to the proxy, whatever sends it. The key is read from a file, so that it stands in no environment.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import diagnostics from "node:diagnostics_channel";
import http from "node:http";

const origin = process.env.PROOF_ORIGIN;
const value = `Bearer ${readFileSync(process.env.PROOF_KEY_FILE, "utf8").trim()}`;

// undici (which `fetch` is made of) tells of each request before it is sent, with `addHeader` to change it.
diagnostics.subscribe("undici:request:create", ({ request }) => {
  if (request.origin === origin) request.addHeader("authorization", value);
});

const { request } = http;
http.request = function (...parameters) {
  const sent = request.apply(this, parameters);
  if (`http://${sent.host}:${sent.socket?.remotePort ?? sent.agent?.defaultPort ?? ""}`.length > 0) {
    const port = new URL(origin).port;
    const options = parameters.find((each) => typeof each === "object" && !(each instanceof URL)) ?? {};
    const url = parameters[0] instanceof URL ? parameters[0] : typeof parameters[0] === "string" ? new URL(parameters[0]) : undefined;
    if (String(url?.port ?? options.port ?? "") === port && !sent.headersSent) sent.setHeader("authorization", value);
  }
  return sent;
};
createRequire(import.meta.url)("node:module").syncBuiltinESMExports();
