// Preloaded into the conformance suite, which cannot be told to send a header: adds the client's key to every request
// to the proxy, whatever sends it. The key is read from a file, so that it stands in no environment.
import { readFileSync } from "node:fs";
import diagnostics from "node:diagnostics_channel";

const origin = process.env.PROOF_ORIGIN;
const value = `Bearer ${readFileSync(process.env.PROOF_KEY_FILE, "utf8").trim()}`;

// undici (which `fetch` is made of) tells of each request before it is sent, with `addHeader` to change it.
diagnostics.subscribe("undici:request:create", ({ request }) => {
  if (request.origin === origin) request.addHeader("authorization", value);
});
