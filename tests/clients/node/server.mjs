/**
 * Drives one client of Node servers through its own API.
 *
 * Reads a scenario as JSON from standard input, makes its calls, flushes, and prints what came of it.
 */
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";

const require = createRequire(import.meta.url);
const { revived } = require("./values.js");
const dropped = [];

/** Each client: how it is made, how a call is said to it, how it is told to finish. */
const CLIENTS = {
  "seg-node": ({ key, host, options }) => {
    const { Analytics } = require("@segment/analytics-node");
    const client = new Analytics({ writeKey: key, host, flushInterval: 500, ...options });
    client.on("error", (error) => dropped.push(error.code));
    return { call: described(client), finish: () => client.closeAndFlush({ timeout: 600_000 }) };
  },
  "rud-node": ({ key, host, options }) => {
    const Analytics = require("@rudderstack/rudder-sdk-node");
    const client = new Analytics(key, {
      dataPlaneUrl: host,
      flushInterval: 500,
      logLevel: "none",
      errorHandler: (error) => dropped.push(error.message),
      ...options,
    });
    // Its flush() knows nothing of batches on their way: wait for what each call is told.
    const told = [];
    const call = (one) => told.push(new Promise((resolve) => described(client, resolve)(one)));
    return { call, finish: () => Promise.all(told) };
  },
  "jitsu-node": ({ key, host, options }) => {
    const { jitsuAnalytics } = require("@jitsu/js");
    const client = jitsuAnalytics({ writeKey: key, host, s2s: true, ...options });
    const sent = [];
    return { call: (one) => sent.push(spoken(client, one)), finish: () => Promise.all(sent) };
  },
};

/** Calls of clients that take one description of an event. */
function described(client, told) {
  return ({ kind, values, ...fields }) => {
    const field = kind === "identify" || kind === "group" ? "traits" : "properties";
    client[kind](kind === "alias" ? fields : { ...fields, [field]: revived(values) }, told);
  };
}

/** Calls of clients that remember who the user is. */
function spoken(client, { kind, values, ...fields }) {
  const given = revived(values);
  switch (kind) {
    case "identify":
      return client.identify(fields.userId, given);
    case "track":
      return client.track(fields.event, given);
    case "page":
      return client.page(fields.category, fields.name, given);
    case "group":
      return client.group(fields.groupId, given);
    default:
      throw new Error(`this client has no ${kind}`);
  }
}

const scenario = JSON.parse(await text(process.stdin));
const client = CLIENTS[process.argv[2]](scenario);
for (const one of scenario.calls) {
  client.call(one);
  await pause(scenario.pause_s * 1000);
}
console.log(JSON.stringify({ called: scenario.calls.length }));
await client.finish();
console.log(JSON.stringify({ dropped }));
process.exit(0);
