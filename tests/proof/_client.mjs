// The TypeScript SDK as a client under load: `node _client.mjs NAME KEY-FILE SECONDS CONNECTIONS PLANS`, as _client.py.
import { readFileSync } from "node:fs";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [name, keyFile, seconds, connections, plans] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${readFileSync(keyFile, "utf8").trim()}` };
const until = Date.now() + Number(seconds) * 1000;
const report = { calls: 0, sessions: 0, failures: [], created: [] };
const CALLS_IN_A_SESSION = 40;
const PAUSE = 100;

// The text TITLE stands for the title, at any depth.
function filled(value, title) {
  return JSON.parse(JSON.stringify(value).replaceAll('"TITLE"', JSON.stringify(title)));
}

async function call(client, [tool, parameters]) {
  const result = await client.callTool({ name: tool, arguments: parameters });
  if (result.isError) throw new Error(JSON.stringify(result.content));
}

async function session(plan, lane, state) {
  const client = new Client({ name, version: "1" });
  await client.connect(new StreamableHTTPClientTransport(new URL(plan.url), { requestInit: { headers } }));
  report.sessions += 1;
  for (let number = 0; number < CALLS_IN_A_SESSION && Date.now() < until; number += 1) {
    report.calls += 1;
    if (number % 3 === 0) {
      const title = `${name} ${lane} ${state.number++}`;
      await call(client, [plan.create[0], filled(plan.create[1], title)]);
      report.created.push(title);
    } else if (number % 3 === 1) {
      await call(client, plan.read);
    } else {
      const { tools } = await client.listTools();
      if (tools.length === 0) throw new Error("no tools");
    }
    await new Promise((done) => setTimeout(done, PAUSE));
  }
  await client.close();
}

async function lane(plan, number) {
  const state = { number: 0 };
  while (Date.now() < until) {
    try {
      await session(plan, number, state);
    } catch (error) {
      report.failures.push(`${new Date().toISOString()} ${plan.url} ${error.code ?? ""} ${error.message}`);
      await new Promise((done) => setTimeout(done, 500));
    }
  }
}

const lanes = JSON.parse(plans).flatMap((plan, at) =>
  Array.from({ length: Number(connections) }, (_, number) => lane(plan, `${at}.${number}`)),
);
await Promise.all(lanes);
console.log(JSON.stringify(report));
